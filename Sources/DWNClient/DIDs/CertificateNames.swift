import NIOSSL

extension NIOSSLCertificate {
  /// Whether it is for a host of this name, itself or by a wildcard in place of its first label (RFC 6125 6.4.3).
  ///
  /// The TLS library also takes a certificate for the address that was connected with, whatever the host is called. Whoever answers a
  /// look-up of the name falsely would need no more than one for an address of their own.
  func names(_ host: String) -> Bool {
    var host = host.lowercased()
    if host.hasSuffix(".") { host.removeLast() }
    let parent = host.firstIndex(of: ".").map { host[$0...] }
    return _subjectAlternativeNames().contains { name in
      guard name.nameType == .dnsName else { return false }
      let pattern = String(decoding: name.contents, as: UTF8.self).lowercased()
      return pattern == host || pattern.hasPrefix("*.") && pattern.dropFirst() == parent
    }
  }
}
