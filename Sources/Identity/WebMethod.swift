import Wire

/// The `did:web` method without its I/O: where a DID's document is, and whether what was found there is that document.
public enum WebMethod {
  /// The one URL of the document: `https`, the host, perhaps a port, the path and `did.json`.
  ///
  /// The host must be a name; an address of either family, in whatever spelling, is refused, as the method demands. So is a path
  /// that would leave its place. Throws `DIDError.malformed`.
  public static func location(of did: DID) throws(DIDError) -> String {
    guard did.method == "web" else { throw .unsupportedMethod(String(did.method)) }
    let parts = did.methodSpecificID.split(separator: ":", omittingEmptySubsequences: false)
    let authority = parts[0].split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard isHostName(authority[0]) else { throw .malformed(did, reason: "its host is not a name") }
    var url = "https://" + authority[0]
    if authority.count == 2 {
      guard authority[1].prefix(2).uppercased() == "3A", let port = port(authority[1].dropFirst(2)) else {
        throw .malformed(did, reason: "what follows its host is not a port")
      }
      url += ":\(port)"
    }
    for segment in parts.dropFirst() {
      guard isSegment(segment) else { throw .malformed(did, reason: "its path has a part that a path cannot have") }
      url += "/" + segment
    }
    return url + (parts.count == 1 ? "/.well-known/did.json" : "/did.json")
  }

  /// What the URL gave, read as the DID's document. Throws `DIDError.malformed`.
  public static func document(_ body: some Collection<UInt8>, of did: DID) throws(DIDError) -> DIDDocument {
    try DIDDocument(parsing: body, of: did)
  }

  /// Letters, digits and hyphens in labels, of which the last is no number: `127.0.0.1`, `2130706433` and `0x7f.1` are addresses
  /// to one resolver or another.
  private static func isHostName(_ host: Substring) -> Bool {
    let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard host.utf8.count <= 253, let last = labels.last, let first = last.first, !(0x30...0x39).contains(first) else {
      return false
    }
    return labels.allSatisfy { label in
      (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
        && label.allSatisfy {
          (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
            || $0 == UInt8(ascii: "-")
        }
    }
  }

  private static func port(_ digits: Substring) -> UInt16? {
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = UInt16(digits), port > 0
    else { return nil }
    return port
  }

  private static func isSegment(_ segment: Substring) -> Bool {
    var decoded: [UInt8] = []
    var rest = segment.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%") {
        guard rest.count >= 2, let escaped = Hex.decode(String(rest.prefix(2)) ?? ""), escaped.count == 1 else {
          return false
        }
        decoded += escaped
        rest = rest.dropFirst(2)
      } else {
        decoded.append(byte)
      }
    }
    let isControl = decoded.contains { $0 <= 0x20 || $0 == 0x7f || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
    return !decoded.isEmpty && !isControl && decoded != [0x2e] && decoded != [0x2e, 0x2e]
  }
}
