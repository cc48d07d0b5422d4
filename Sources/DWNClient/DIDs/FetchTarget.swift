import Foundation
import Wire

/// Why a document was not fetched, in words for people.
struct FetchFailure: Error, Hashable {
  let reason: String
  /// There was no room here to ask, which says nothing of what would have been asked for.
  let isBusy: Bool

  static let busy = FetchFailure("there was no room to look up its host", isBusy: true)

  init(_ reason: String, isBusy: Bool = false) {
    self.reason = reason
    self.isBusy = isBusy
  }
}

/// The parts of a URL that a document may be fetched from.
struct FetchTarget: Hashable, Sendable {
  /// `false` only for hosts of this machine, where they are allowed.
  let isTLS: Bool
  /// A name in lower case, or an address without brackets.
  let host: String
  let port: UInt16
  /// With the query, beginning with `/`.
  let path: String

  static let maximumLength = 4096

  /// `https`, a host, perhaps a port, path and query. Where private hosts are allowed, `http` to `localhost` and to addresses too.
  init(_ text: String, allowsPrivateHosts: Bool) throws(FetchFailure) {
    guard text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
      let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
      let name = parts.host?.lowercased()
    else { throw FetchFailure("its URL is none") }
    host = name.hasPrefix("[") && name.hasSuffix("]") ? String(name.dropFirst().dropLast()) : name
    guard parts.user == nil, parts.password == nil, parts.fragment == nil, Self.isHost(host),
      let port = UInt16(exactly: parts.port ?? (scheme == "http" ? 80 : 443)), port > 0
    else { throw FetchFailure("its URL has parts that it must not have") }
    self.port = port
    isTLS = scheme == "https"
    let isOwn = host == "localhost" || host.hasSuffix(".localhost") || IPAddress(host) != nil
    guard isTLS || (scheme == "http" && allowsPrivateHosts && isOwn) else {
      throw FetchFailure("only https is asked")
    }
    path =
      (parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath)
      + (parts.percentEncodedQuery.map { "?" + $0 } ?? "")
    guard path.hasPrefix("/") else { throw FetchFailure("its URL is none") }
  }

  /// Where a redirect leads, under the same rules.
  func redirected(to location: String, allowsPrivateHosts: Bool) throws(FetchFailure) -> FetchTarget {
    guard location.utf8.count <= Self.maximumLength, let base = URL(string: text),
      let url = URL(string: location, relativeTo: base)
    else { throw FetchFailure("it redirects to what is no URL") }
    do {
      // A fragment means nothing to whoever asks for a whole document.
      let text = url.absoluteString.prefix { $0 != "#" }
      return try FetchTarget(String(text), allowsPrivateHosts: allowsPrivateHosts)
    } catch {
      throw FetchFailure("it redirects where it must not: \(error.reason)")
    }
  }

  /// As a `host` header has it.
  var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (isTLS ? 443 : 80) ? name : "\(name):\(port)"
  }

  var text: String { (isTLS ? "https://" : "http://") + authority + path }

  private static func isHost(_ host: String) -> Bool {
    if host.contains(":") { return IPAddress(host) != nil }
    return (1...253).contains(host.utf8.count)
      && host.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
      }
  }
}
