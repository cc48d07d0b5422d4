import DWN
import Identity
import Testing
import Wire

extension MeshdLab {
  /// Between a real daemon and a real node stands somebody who changes what the node says.
  @Suite struct LyingProxyTests {
    @Test("a node that edits, swaps, reorders, replays, hides and invents adds nothing to a member's network")
    func lies() async throws {
      try await RoutedHosts.run { routed in
        let (first, second) = (routed.first, routed.second)
        let did = try QuickStart.identity(in: try await second.meshd("init"))
        try await LyingProxy.run(in: second.namespace, to: first.namespace, 8787) { proxy, port in
          // A member takes up the endpoints that the record names, and knocks at the anchor's mesh address too: the node listens where
          // the proxy alone gets, so that there is no way around it.
          try await first.meshd(
            "up", "--create", "lab", "--listen", "127.0.0.1:8787", "--advertise", "http://127.0.0.1:\(port)")
          try await second.run(try QuickStart.joinLine(in: try await first.meshd("peer", "add", did)))
          try await QuickStart.requireTunnel(first, second)
          #expect(try await second.status()["anchorEndpoints"] == [.string("http://127.0.0.1:\(port)")])
          let truth = try await Self.picture(of: second)
          #expect(try await second.status()["refused"] == [])

          for lie in Lie.all {
            try await second.meshd("down")
            try await proxy.tell(lie.body)
            // From here on it lies; the daemon begins with what it has verified, and asks for everything.
            try await second.meshd("up")
            try await proxy.tell(lie.body, times: lie.answers)
            if lie.isRefused {
              let isReported = try await eventually(.seconds(15)) {
                try await !(second.status()["refused"]?.array ?? []).isEmpty
              }
              #expect(isReported, "\(lie.name): nothing was refused")
              for refused in try await second.status()["refused"]?.array ?? [] {
                #expect(refused["reason"]?.string?.isEmpty == false && (refused["count"]?.integer ?? 0) > 0)
              }
            }
            #expect(try await Self.picture(of: second) == truth, "\(lie.name)")
            try await QuickStart.requireTunnel(first, second)
          }

          try await self.withhold(proxy, first, second, truth)
        }
      }
    }

    /// A record that is hidden keeps the head that covers it from being accepted, and `status` says so; the truth ends that.
    private func withhold(
      _ proxy: LyingProxy, _ first: MeshdHost, _ second: MeshdHost, _ truth: [String: JSONValue]
    ) async throws {
      let stranger = MachineIdentity.generate(random: SystemRandom()).did.text
      try await proxy.tell { _, reply, _ in
        reply.withEntries { $0.filter { $0["descriptor"]?["recipient"]?.string != stranger } }
      }
      try await first.meshd("peer", "add", stranger)
      let isSaid = try await eventually(.seconds(40)) {
        try await (second.status()["pending"]?.array ?? []).contains {
          $0.string?.contains("covers another set") == true
        }
      }
      #expect(isSaid, "status does not say what does not match")
      #expect(try await Self.picture(of: second) == truth)
      try await proxy.tell(nil)
      let isThere = try await eventually(.seconds(30)) { try await Self.picture(of: second).keys.contains(stranger) }
      #expect(isThere, "the truth was not accepted")
      #expect(try await second.status()["pending"] == [])
    }

    /// What a member believes: its peers, each with what it may do, and the policy.
    private static func picture(of host: MeshdHost) async throws -> [String: JSONValue] {
      var picture: [String: JSONValue] = [:]
      for peer in try await host.status()["peers"]?.array ?? [] {
        var known = JSONObject()
        for member in ["name", "meshIP", "meshIPv6", "label", "ownerDID", "expiresAt", "wireGuardKey"] {
          known[member] = peer[member]
        }
        picture[peer["nodeDID"]?.string ?? ""] = .object(known)
      }
      picture["policy"] = .string(try await host.meshd("acl", "show"))
      return picture
    }

  }
}

/// One way to lie.
private struct Lie: Sendable {
  let name: String
  /// Whether something of it must be reported as refused.
  let isRefused: Bool
  /// How many changed answers the daemon is to see at least.
  let answers: Int
  let body: LyingProxy.Lie

  init(_ name: String, isRefused: Bool = true, answers: Int = 1, _ body: @escaping LyingProxy.Lie) {
    self.name = name
    self.isRefused = isRefused
    self.answers = answers
    self.body = body
  }

  static let all = [
    Lie("edits members") { _, reply, _ in
      reply.withEntries { $0.map { $0.setting(["descriptor", "recipient"], .string(stranger.did.text)) } }
    },
    Lie("edits data") { _, reply, _ in
      reply.withEntries { entries in
        entries.map { entry in
          guard var data = entry["encodedData"]?.string.flatMap({ Base64.decode($0) }), !data.isEmpty else {
            return entry
          }
          data[0] ^= 1
          return entry.setting(["encodedData"], .string(Base64.encode(data)))
        }
      }
    },
    Lie("swaps data") { _, reply, _ in
      reply.withEntries { entries in
        guard entries.count > 1, let a = entries[0]["encodedData"], let b = entries[1]["encodedData"] else {
          return entries
        }
        return [entries[0].setting(["encodedData"], b), entries[1].setting(["encodedData"], a)] + entries.dropFirst(2)
      }
    },
    Lie("swaps signatures") { _, reply, _ in
      reply.withEntries { entries in
        guard entries.count > 1, let a = entries[0]["authorization"], let b = entries[1]["authorization"] else {
          return entries
        }
        return [entries[0].setting(["authorization"], b), entries[1].setting(["authorization"], a)]
          + entries.dropFirst(2)
      }
    },
    Lie("moves records") { _, reply, _ in
      reply.withEntries { entries in
        entries.map { entry in
          guard let context = entry["contextId"]?.string else { return entry }
          return entry.setting(["contextId"], .string(String(context.reversed())))
        }
      }
    },
    Lie("reorders and repeats", isRefused: false) { _, reply, _ in
      reply.withEntries { $0.reversed() + $0 }
    },
    Lie("replays", isRefused: false, answers: 3) { _, reply, shown in
      reply.withEntries { $0 + shown }
    },
    Lie("hides", isRefused: false, answers: 3) { _, reply, _ in
      reply.withEntries { _ in [] }
    },
    Lie("says that nobody may read", isRefused: false) { request, reply, _ in
      request["descriptor"]?["method"] == "Write" ? reply : ["status": ["code": 401, "detail": "no"]]
    },
    Lie("invents") { _, reply, _ in
      reply.withEntries { $0 + $0.compactMap(invention) }
    },
  ]

  private static let stranger = MachineIdentity.generate(random: SystemRandom())

  /// A new record in the manner of one that is there, signed well by somebody who may not write it.
  private static func invention(_ model: JSONValue) -> JSONValue? {
    guard let entry = ReplyEntry(model), let message = try? Message(entry.message),
      let signed = try? SignedMessage(checking: message, resolver: OfflineResolver()),
      let write = try? RecordsWrite(signed),
      let data = entry.data
    else { return nil }
    let draft = RecordDraft(
      protocolURI: write.protocolURI, path: write.path, parent: write.contextID.parent, schema: write.schema,
      recipient: stranger.did, tags: write.tags, squash: write.squash,
      encryption: write.encryption.map { JSONValue.object($0) }, data: data)
    let invented = MessageSigner(stranger).recordsWrite(draft, at: .now())
    return ReplyEntry(message: invented.message.value, data: data).json
  }
}

extension JSONValue {
  /// A reply with other entries; one without entries stays as it is.
  fileprivate func withEntries(_ change: ([JSONValue]) -> [JSONValue]) -> JSONValue {
    guard var reply = object, let entries = reply["entries"]?.array else { return self }
    reply["entries"] = .array(change(entries))
    return .object(reply)
  }

  /// With another value where the names lead, if there is one already.
  fileprivate func setting(_ names: ArraySlice<String>, _ value: JSONValue) -> JSONValue {
    guard let name = names.first else { return value }
    guard var members = object, let inner = members[name] else { return self }
    members[name] = inner.setting(names.dropFirst(), value)
    return .object(members)
  }

  fileprivate func setting(_ names: [String], _ value: JSONValue) -> JSONValue { setting(names[...], value) }
}
