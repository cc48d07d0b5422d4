import Foundation
import Glibc
import Wire

/// What happens to a machine while it works.
enum NetworkChange: String, CaseIterable, Sendable {
  case address = "its address changes"
  case router = "its router restarts"
  case relay = "its relay dies"
  case sleep = "its daemon is stopped and continued"

  /// How long a daemon is stopped: a minute where there is time.
  static let pause: Duration = NATLab.tries > 5 ? .seconds(60) : .seconds(8)

  /// Two machines that this can happen to without cutting them off from each other.
  var pair: HostPair {
    HostPair(left: self == .relay ? .blocked : .portRestricted, right: .portRestricted)
  }

  /// The way that their packets go before and after.
  var path: String { self == .relay ? "relay" : "direct" }

  /// How many labs at a time: whoever sleeps does not mind the others.
  var together: Int { self == .sleep ? 8 : 2 }

  /// Does it to the left machine of a lab, for the `round`th time. Returns when it was over, and nothing but the daemon stood in the way
  /// any more.
  func happen(in lab: PairLab, round: Int) async throws -> ContinuousClock.Instant {
    let host = lab.world.hosts[0]
    switch self {
    case .address:
      try await host.namespace.run(
        "sh", "-ec",
        """
        device=$(ip -o route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        ip -4 address flush dev "$device"
        ip address add 192.168.1.\(100 + round % 100)/24 dev "$device"
        ip route add default via 192.168.1.1
        """)
      return .now
    case .router:
      let router = host.routers[0]
      var rules = router.rules
      rules.mapping = .independent(ports: round % 2 == 0 ? 50000...59999 : 20000...29999)
      try await router.restart(with: rules)
      return .now
    case .relay:
      let carrier = try await lab.carryingRelay()
      let moment = ContinuousClock.now
      // Once its machine says goodbye for it, and once nobody does.
      if round % 2 == 0 { try await carrier.host.killDaemon() } else { try await lab.world.cut(carrier.addresses) }
      return moment
    case .sleep:
      let status = try await lab.left.currentStatus()
      guard let pid = status["pid"]?.integer.flatMap({ pid_t(exactly: $0) }), pid > 1 else {
        throw Missing(what: "pid", in: status.text)
      }
      kill(pid, SIGSTOP)
      defer { kill(pid, SIGCONT) }
      try await Task.sleep(for: Self.pause)
      return .now
    }
  }

  /// Makes the lab what it was.
  func mend(_ lab: PairLab) async throws {
    guard self == .relay else { return }
    try await lab.world.mend()
    for host in [lab.anchor, lab.member].compactMap({ $0 }) {
      if try await host.status()["running"]?.bool != true { try await host.meshd("up") }
    }
    try await lab.awaitRelays(2)
  }
}
