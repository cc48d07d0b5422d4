import Testing

extension MeshdLab {
  /// Paths that let less through than their ends believe, and never say so.
  @Suite(.enabled(if: NATLab.obstacle == nil, "\(NATLab.obstacle ?? "")"), .timeLimit(.minutes(10)))
  struct MTUTests {
    /// One pair whose packets go over IPv4, one over IPv6.
    private static let pairs = [
      HostPair(left: .portRestricted, right: .portRestricted), HostPair(left: .ipv6Only, right: .ipv6Only),
    ]

    @Test("a megabyte passes through a path of 1280 that tells nobody, IPv4 and IPv6", arguments: pairs)
    func narrow(_ pair: HostPair) async throws {
      try await PairLab.run(pair) { lab in
        try await lab.world.narrow(to: 1280)
        try await requireMegabytes(lab)
      }
    }

    @Test("a megabyte passes through a path that changes from 1500 to 1280, IPv4 and IPv6", arguments: pairs)
    func narrowing(_ pair: HostPair) async throws {
      try await PairLab.run(pair) { lab in
        try await requireMegabytes(lab)
        try await lab.world.narrow(to: 1280)
        try await requireMegabytes(lab)
      }
    }

    @Test("a transfer that runs while the path changes from 1500 to 1280 arrives whole")
    func meanwhile() async throws {
      try await PairLab.run(Self.pairs[0]) { lab in
        try await requireDirect(lab)
        let isWhole = try await RunningTransfer.survives(
          from: lab.left.namespace, to: lab.right.namespace, at: lab.rightAddress
        ) {
          try await Task.sleep(for: .seconds(1))
          try await lab.world.narrow(to: 1280)
          try await Task.sleep(for: .seconds(2))
        }
        #expect(isWhole)
      }
    }

    private func requireDirect(_ lab: PairLab) async throws {
      let traffic = try await MeshTraffic.start(
        from: lab.left.namespace, to: lab.right.namespace, at: lab.rightAddress)
      defer { traffic.stop() }
      let isDirect = try await eventually(.seconds(30)) { try await lab.paths().allSatisfy { $0 == "direct" } }
      let paths = try await lab.paths()
      try #require(isDirect, "\(paths)")
    }

    private func requireMegabytes(_ lab: PairLab) async throws {
      try await requireDirect(lab)
      for address in [lab.rightAddress, lab.rightAddressV6] {
        let before = try await lab.bytesAtAnchor()
        #expect(try await lab.carries(1 << 20, to: address), "\(address)")
        #expect(try await lab.bytesAtAnchor() - before < 1 << 19, "the path is not direct")
      }
    }
  }
}
