import DWN
import DWNClient
import Logging
import Mesh

/// The nodes that the anchor's network record names, taken up as they change: who joined by one address finds the others, and is
/// not lost when the anchor moves.
extension DWNControlPlane {
  /// More than these are not taken up at a time.
  static let endpointLimit = 16

  /// Compares the endpoints with those that the record names, and the anchor's mesh address. One that is not named stays as long as it
  /// is the one that works: the anchor may not know under which address it is reached from here. One that it names no more gives way to any
  /// other that answers.
  func reviseEndpoints() {
    guard let dial = configuration.dial, let view, let urls = view.record?.anchorEndpoints, !urls.isEmpty else {
      return
    }
    let named = urls.prefix(Self.endpointLimit).compactMap { try? EndpointURL($0) }
    guard !named.isEmpty else { return }
    leaveUnnamed(Set(named.map(\.text)))
    for (index, endpoint) in endpoints.enumerated() {
      let isKept = index == choice.reserve || index == choice.left
      retire(index, !isKept && !named.contains { $0.text == endpoint.name })
    }
    for url in named where !endpoints.contains(where: { $0.name == url.text }) {
      guard let place = freePlace(of: Self.endpointLimit) else { break }
      logger.info("another endpoint is named", metadata: ["endpoint": "\(url)"])
      add(dial(url), at: place)
    }
    if !isAnchor, view.own != nil { takeUpMeshEndpoint(of: view, besides: named, dial) }
    // Nobody in the mesh answers a machine that is not in it.
    if let reserve = choice.reserve { retire(reserve, view.own == nil) }
    // The one that works comes first, whatever the order of the record; but no start begins with one that needs the mesh.
    let preferred = choice.preferred == choice.reserve ? nil : endpoints[choice.preferred].name
    let inUse = [preferred].compactMap { $0 } + named.map(\.text).filter { $0 != preferred }
    if inUse != told {
      told = inUse
      endpointSink.yield(inUse)
    }
  }

  /// The preferred endpoint is left if the record names it no more, and not if it does again.
  private func leaveUnnamed(_ names: Set<String>) {
    defer { namedOnce.formUnion(names) }
    if let left = choice.left, names.contains(endpoints[left].name) {
      choice.stay()
      wakeActive()
    }
    let preferred = choice.preferred
    let name = endpoints[preferred].name
    guard !names.contains(name), namedOnce.contains(name), preferred != choice.left, preferred != choice.reserve else {
      return
    }
    choice.leave()
    for index in endpoints.indices where index != preferred && !choice.isIdle(index) {
      plans[index].hinted(.complete, at: clock.now())
      wake(.fetch(index))
    }
  }

  /// The mesh address becomes the reserve, and the former one is asked no more. It may be one that was the reserve before, and still has
  /// its place.
  private func takeUpMeshEndpoint(
    of view: MeshView, besides named: [EndpointURL], _ dial: @Sendable (EndpointURL) -> any DWNEndpoint
  ) {
    guard let mesh = MeshEndpoint(view), mesh != meshEndpoint, let url = try? EndpointURL(mesh.url),
      !named.contains(where: { $0.text == url.text })
    else { return }
    let known = endpoints.firstIndex { $0.name == url.text }
    guard let place = known ?? freePlace(of: Self.endpointLimit + 1) else { return }
    meshEndpoint = mesh
    let former = choice.reserve
    choice.reserve = place
    if known == nil { add(dial(url), at: place) } else { retire(place, false) }
    if let former, former != place { retire(former, true) }
  }

  private func retire(_ index: Int, _ isRetired: Bool) {
    guard choice.retired.contains(index) != isRetired else { return }
    choice.retire(index, isRetired)
    if choice.retired.contains(index) { want(index, false) }
    for job in [Job.fetch(index), .publish(index)] { wake(job) }
  }

  /// Where one more endpoint goes: behind the others, or, if those are as many as there may be, to the place of one that is not named any
  /// more and of which nothing is under way. `nil`: not now.
  private func freePlace(of limit: Int) -> Int? {
    if endpoints.count < limit { return endpoints.count }
    let busy = Set(underWay.compactMap(\.endpoint)).union([choice.preferred])
    let left = Set([choice.left].compactMap { $0 })
    return choice.retired.subtracting(busy).min() ?? left.subtracting(busy).min()
  }

  /// Whoever was idle may not be any more.
  func wakeActive() {
    for index in endpoints.indices where !choice.isIdle(index) {
      wake(.fetch(index))
      wake(.publish(index))
    }
  }

  /// The endpoints that are asked and written to.
  var activeEndpoints: [(index: Int, endpoint: any DWNEndpoint)] {
    endpoints.enumerated().filter { !choice.isIdle($0.offset) }.map { ($0.offset, $0.element) }
  }
}
