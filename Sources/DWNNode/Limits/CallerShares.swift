/// Something that callers share: so much of it for all, of which no network and no site has more than its part. What one asks for at
/// once may be larger than a part where its network, or its site, has nothing else. This machine is bound by the whole alone.
struct CallerShares: Sendable {
  let whole: Int
  private let perNetwork: Int
  private let perSite: Int
  private(set) var taken = 0
  private var networks: [UInt128: Int] = [:]
  private var sites: [UInt128: Int] = [:]

  init(of whole: Int, perNetwork: Int, perSite: Int) {
    self.whole = whole
    self.perNetwork = perNetwork
    self.perSite = perSite
  }

  /// An eighth for a network and a quarter for a site, so that it takes several of them to leave nothing to the others.
  init(of whole: Int) { self.init(of: whole, perNetwork: whole / 8, perSite: whole / 4) }

  /// `false`, and nothing is taken, where there is not so much for this caller. `whole` may be narrowed for some of them.
  mutating func take(_ amount: Int, for caller: Caller, within narrowed: Int = .max) -> Bool {
    guard taken + amount <= min(whole, narrowed), Self.fits(amount, caller.network, in: networks, perNetwork),
      Self.fits(amount, caller.site, in: sites, perSite)
    else { return false }
    taken += amount
    if let network = caller.network { networks[network, default: 0] += amount }
    if let site = caller.site { sites[site, default: 0] += amount }
    return true
  }

  /// Undoes a `take`, or a part of it.
  mutating func give(_ amount: Int, for caller: Caller) {
    taken -= amount
    Self.give(amount, caller.network, in: &networks)
    Self.give(amount, caller.site, in: &sites)
  }

  /// Networks and sites that are remembered.
  var count: Int { networks.count + sites.count }

  private static func fits(_ amount: Int, _ key: UInt128?, in held: [UInt128: Int], _ part: Int) -> Bool {
    guard let key, let own = held[key] else { return true }
    return own + amount <= part
  }

  private static func give(_ amount: Int, _ key: UInt128?, in held: inout [UInt128: Int]) {
    guard let key, let own = held[key] else { return }
    held[key] = own > amount ? own - amount : nil
  }
}
