import Wire

/// Finds the one service of a router that maps ports, from its answers to a search on: a state machine without I/O, which asks one
/// question at a time.
///
/// Whatever host an answer names, the gateway is asked: only port and path of it count.
struct GatewayFinder {
  struct Found: Hashable {
    var port: UInt16
    var control: GatewayControl
    var external: IPAddress
  }

  /// To be asked by HTTP: a description with GET, a call with POST.
  struct Question: Hashable {
    var port: UInt16
    var path: String
    var call: GatewayControl.Call?
  }

  private struct Candidate {
    var port: UInt16
    var control: GatewayControl
    var isConnected = false
    var external: IPAddress?
  }

  private enum Step {
    case describing
    case status(Int)
    case external(Int)
    case done(Found?)
  }

  private var places: [(port: UInt16, path: String)]
  private var candidates: [Candidate] = []
  private var step = Step.describing

  /// Begins with what was heard. `nil`: nobody said where to ask.
  init?(_ answers: [SSDP.Answer]) {
    places = SSDP.sorted(answers).compactMap { GatewayDevice.split($0.location) }
    guard !places.isEmpty else { return nil }
  }

  /// `nil` as long as it is not known; then what was found, if anything.
  var result: Found?? {
    if case .done(let found) = step { .some(found) } else { nil }
  }

  /// What to ask next; `nil`: nothing more.
  var question: Question? {
    switch step {
    case .describing: places.first.map { Question(port: $0.port, path: $0.path) }
    case .status(let index): question(candidates[index]) { $0.status() }
    case .external(let index): question(candidates[index]) { $0.externalAddress() }
    case .done: nil
    }
  }

  /// Takes the answer to the question; `nil`: there was none.
  mutating func take(_ body: [UInt8]?) {
    switch step {
    case .describing:
      guard !places.isEmpty else { return step = .done(nil) }
      let place = places.removeFirst()
      candidates = GatewayDevice.services(body ?? []).map {
        Candidate(port: place.port, control: GatewayControl(service: $0))
      }
      if !candidates.isEmpty {
        step = .status(0)
      } else if places.isEmpty {
        step = .done(nil)
      }
    case .status(let index):
      if case .done(let arguments) = GatewayControl.answer(body ?? [], to: "GetStatusInfo") {
        candidates[index].isConnected = arguments["NewConnectionStatus"] == "Connected"
      }
      step = .external(index)
    case .external(let index):
      candidates[index].external = GatewayControl.externalAddress(in: body ?? [])
      step = index + 1 < candidates.count && !isBest(candidates[index]) ? .status(index + 1) : .done(choice)
    case .done: break
    }
  }

  /// Connected with a public address, then connected, then the first that has any address.
  private var choice: Found? {
    let chosen =
      candidates.first { isBest($0) } ?? candidates.first { $0.isConnected && $0.external != nil }
      ?? candidates.first { $0.external != nil }
    guard let chosen, let external = chosen.external else { return nil }
    return Found(port: chosen.port, control: chosen.control, external: external)
  }

  private func isBest(_ candidate: Candidate) -> Bool {
    candidate.isConnected && candidate.external.map { !$0.isPrivate } == true
  }

  private func question(_ candidate: Candidate, _ call: (GatewayControl) -> GatewayControl.Call) -> Question {
    Question(port: candidate.port, path: candidate.control.service.path, call: call(candidate.control))
  }
}
