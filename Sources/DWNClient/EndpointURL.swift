import Foundation
import Wire

/// The base URL of a node: `http` or `https`, a host, perhaps a port and a path, and nothing that a base URL cannot have.
public struct EndpointURL: Hashable, Sendable, CustomStringConvertible {
  /// Why a text is not the URL of a node.
  public enum Invalid: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed(String)
    case scheme(String, String)
    case credentials(String)
    case queryOrFragment(String)
    case port(String)

    public var description: String {
      switch self {
      case .malformed(let text): "\"\(text)\" is not a URL: an endpoint looks like http://192.0.2.1:8787"
      case .scheme(let text, let scheme):
        "\"\(text)\" has the scheme \(scheme): an endpoint begins with http:// or https://"
      case .credentials(let text): "\"\(text)\" holds a user name or a password, which an endpoint cannot have"
      case .queryOrFragment(let text): "\"\(text)\" has a query or a fragment, which an endpoint cannot have"
      case .port(let text): "\"\(text)\" has a port that is not between 1 and 65535"
      }
    }
  }

  /// Longest accepted, in bytes.
  public static let maximumLength = 2048

  /// In one spelling: scheme and host in lower case, no default port, no `/` at the end.
  public let text: String
  /// Without brackets.
  let host: String
  let port: Int
  /// Empty, or with `/` at its begin and without one at its end.
  let path: String

  public init(_ text: String) throws(Invalid) {
    let shown = String(text.prefix(200))
    guard (1...Self.maximumLength).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
      let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased()
    else { throw .malformed(shown) }
    guard scheme == "http" || scheme == "https" else { throw .scheme(shown, scheme) }
    guard parts.user == nil, parts.password == nil else { throw .credentials(shown) }
    guard parts.query == nil, parts.fragment == nil else { throw .queryOrFragment(shown) }
    guard let host = parts.host?.lowercased(), !host.isEmpty else { throw .malformed(shown) }
    if let port = parts.port {
      guard (1...65535).contains(port) else { throw .port(shown) }
    }
    let port = parts.port == (scheme == "http" ? 80 : 443) ? nil : parts.port
    var path = parts.percentEncodedPath
    while path.hasSuffix("/") { path.removeLast() }
    let bracketed = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
    self.host = bracketed.hasPrefix("[") ? String(bracketed.dropFirst().dropLast()) : host
    self.port = port ?? (scheme == "http" ? 80 : 443)
    self.path = path
    self.text = scheme + "://" + bracketed + (port.map { ":\($0)" } ?? "") + path
  }

  /// What the host is called, unless it is called by its address.
  var hostName: String? { IPAddress(host) == nil ? host : nil }

  /// Host and, unless it is the scheme's own, port: what a `host` header says.
  var authority: String { String(text.dropFirst(isTLS ? 8 : 7).prefix { $0 != "/" }) }

  public var isTLS: Bool { text.hasPrefix("https:") }

  public var description: String { text }
}
