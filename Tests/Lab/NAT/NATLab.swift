/// What the lab of NATs needs.
enum NATLab {
  /// Why it cannot be built here, or `nil` if it can.
  static let obstacle: String? = {
    if let obstacle = NetworkLab.obstacle { return obstacle }
    for tool in ["nft", "sysctl", "ss", "curl", "miniupnpd", "conntrack"] where !NetworkLab.have(tool) {
      return "the lab of NATs needs the command \(tool): run scripts/setup"
    }
    return nil
  }()
}
