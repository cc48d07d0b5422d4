import Wire

/// What there is to say about the network's records: membership, how current they are, what was left out, and the nodes that hold them.
struct RecordsDiagnosis {
  let status: JSONValue
  let now: WallTime

  /// The anchor signs a head every hour.
  static let silenceLimit: Duration = .seconds(3 * 3600)
  /// A membership that ends so soon is worth a word.
  static let expiryNotice: Duration = .seconds(7 * 24 * 3600)
  /// Records that are named one by one.
  private static let namedLimit = 5

  var findings: [Finding] {
    guard status["network"] != nil else { return [] }
    return [membership] + [head, leftOut].compactMap { $0 } + publications + endpoints
  }

  private var pending: [String] { (status["pending"]?.array ?? []).compactMap(\.string) }

  private var membership: Finding {
    guard let myself = status["self"] else {
      return Finding(
        status["running"]?.bool == true ? .fail : .warn, "This machine is no member that the others know of",
        detail: pending.first,
        next: status["did"]?.string.map { "on the machine that created the network: 'meshd peer add \($0)'" })
    }
    let addresses = ["meshIP", "meshIPv6"].compactMap { status[$0]?.string }.joined(separator: ", ")
    guard let expiry = myself["expiresAt"]?.string.flatMap({ WallTime(rfc3339: $0) }), expiry - now < Self.expiryNotice
    else { return Finding(.ok, "This machine is a member", detail: addresses) }
    return Finding(
      .warn, "The membership of this machine ends at \(expiry.rfc3339)", detail: addresses,
      next: "the machine that created the network renews it")
  }

  /// Networks without heads have none to judge by; their notes say so.
  private var head: Finding? {
    guard let head = status["head"], let signed = head["signedAt"]?.string.flatMap({ WallTime(rfc3339: $0) }) else {
      return nil
    }
    let age = max(.zero, now - signed)
    let detail = "number \(head["seq"]?.integer ?? 0), signed \(StatusJSON.text(age)) ago"
    // Where the daemon runs its notes tell of silence.
    if age > Self.silenceLimit, status["running"]?.bool != true {
      return Finding(.info, "The state of the network that is known here is old", detail: detail)
    }
    return Finding(age > Self.silenceLimit ? .info : .ok, "The anchor's signed state of the network", detail: detail)
  }

  private var leftOut: Finding? {
    let refused = status["refused"]?.array ?? []
    guard !refused.isEmpty else { return nil }
    let named = refused.prefix(Self.namedLimit).map { record in
      "\(record["path"]?.string ?? "?") by \(record["author"]?.string.map(Self.short) ?? "?"): "
        + "\(record["reason"]?.string ?? "?") (\(record["count"]?.integer ?? 1)×)"
    }
    let more = refused.count > Self.namedLimit ? ["and \(refused.count - Self.namedLimit) more"] : []
    return Finding(
      .warn, refused.count == 1 ? "A record was left out" : "\(refused.count) records were left out",
      detail: (named + more).joined(separator: "; "),
      next:
        "they change nothing; a node that shows them is faulty, or somebody tries something ('meshd status' lists all)")
  }

  private var publications: [Finding] {
    guard status["self"] != nil else { return [] }
    guard !pending.isEmpty else {
      return status["running"]?.bool == true ? [Finding(.ok, "Nothing is waited for")] : []
    }
    return pending.map { Finding(.warn, "Waiting for \($0)") }
  }

  private var endpoints: [Finding] {
    let endpoints = status["endpoints"]?.array ?? []
    let troubled = endpoints.filter { $0["error"] != nil }
    let isDead = !endpoints.isEmpty && troubled.count == endpoints.count
    return endpoints.map { endpoint in
      let url = endpoint["url"]?.string ?? "?"
      guard let error = endpoint["error"]?.string else {
        return Finding(.ok, "The records are at hand: \(url) answers")
      }
      let lacks = endpoint["lacks"]?.integer ?? 0
      return Finding(
        isDead ? .fail : .warn,
        "\(url) does not do what it is asked, since \(endpoint["since"]?.string ?? "?")",
        detail: error + (lacks > 0 ? " (it lacks \(lacks) of this machine's messages)" : ""),
        next: isDead ? "tunnels go on; changes arrive when a node answers again" : "the other nodes answer")
    }
  }

  /// DIDs of this program differ only behind their first sixty characters.
  private static func short(_ did: String) -> String {
    did.count <= 32 ? did : did.prefix(12) + "…" + did.suffix(16)
  }
}
