import NIOCore
import NIOSSL
import Wire

/// What a document's host is asked for.
enum DocumentKind: Sendable {
  /// A JSON text that says so.
  case json
  /// Bytes that prove themselves.
  case packet

  var accept: String {
    switch self {
    case .json: "application/did+json, application/did+ld+json, application/json;q=0.9"
    case .packet: "application/octet-stream, */*;q=0.5"
    }
  }

  func admits(contentType: String?) -> Bool {
    guard case .json = self else { return true }
    let type = contentType?.prefix { $0 != ";" }.lowercased().filter { $0 != " " } ?? ""
    return type == "application/json" || (type.hasPrefix("application/") && type.hasSuffix("+json"))
  }
}

/// Where documents come from.
protocol DocumentSource: Sendable {
  /// The body of the answer, at most `largest` bytes.
  func document(at url: String, _ kind: DocumentKind, largest: Int) async throws(FetchFailure) -> [UInt8]
}

/// Fetches documents from hosts that strangers name.
///
/// Whoever names a host may mean one that only this machine can reach. So each host, the first and those that redirects lead to, is
/// looked up once, its addresses are checked, and one of those that passed is connected with; the name serves for TLS alone.
/// Everything together is bounded in time, each answer in size, and redirects in number.
struct DocumentFetcher: DocumentSource {
  static let maximumRedirects = 3
  /// Addresses of one host that are tried.
  static let maximumAttempts = 4

  private let settings: DIDFetchSettings
  private let lookup: HostLookup
  private let admits: @Sendable (IPAddress) -> Bool
  private let tls: NIOSSLContext

  /// Throws if the system's TLS does not work. `admits` says which addresses may be connected with; by default what the settings say.
  init(
    _ settings: DIDFetchSettings, lookup: HostLookup = .system, trusting roots: NIOSSLTrustRoots = .default,
    admits: (@Sendable (IPAddress) -> Bool)? = nil
  ) throws {
    self.settings = settings
    self.lookup = lookup
    let allowsAll = settings.allowsPrivateHosts
    self.admits = admits ?? { allowsAll || PublicAddresses.contains($0) }
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.trustRoots = roots
    configuration.minimumTLSVersion = .tlsv12
    tls = try NIOSSLContext(configuration: configuration)
  }

  func document(at url: String, _ kind: DocumentKind, largest: Int) async throws(FetchFailure) -> [UInt8] {
    let deadline = NIODeadline.now() + .nanoseconds(settings.timeout.nanoseconds)
    var target = try FetchTarget(url, allowsPrivateHosts: settings.allowsPrivateHosts)
    for _ in 0...Self.maximumRedirects {
      let answer = try await ask(target, kind, largest, deadline)
      switch answer.status {
      case 200:
        guard kind.admits(contentType: answer.contentType) else {
          throw FetchFailure("what it gave is of type \"\(answer.contentType?.prefix(60) ?? "")\", and not JSON")
        }
        return answer.body
      case 301, 302, 303, 307, 308:
        guard let location = answer.location else { throw FetchFailure("it redirects nowhere") }
        target = try target.redirected(to: location, allowsPrivateHosts: settings.allowsPrivateHosts)
      case 404, 410: throw FetchFailure("it has no such document (HTTP status \(answer.status))")
      default: throw FetchFailure("it answered with HTTP status \(answer.status)")
      }
    }
    throw FetchFailure("it redirects more than \(Self.maximumRedirects) times")
  }

  private func ask(
    _ target: FetchTarget, _ kind: DocumentKind, _ largest: Int, _ deadline: NIODeadline
  ) async throws(FetchFailure) -> DocumentExchange.Answer {
    let found: [IPAddress]
    do { found = try await lookup.addresses(target.host, deadline) } catch {
      throw error as? FetchFailure ?? FetchFailure("its name \(target.host) is not known")
    }
    let admitted = found.filter(admits)
    guard !admitted.isEmpty else {
      throw FetchFailure("its host \(target.host) is at no public address")
    }
    var last = FetchFailure("no connection to \(target.host)")
    for address in admitted.prefix(Self.maximumAttempts) where NIODeadline.now() < deadline {
      let exchange = DocumentExchange(
        target: target, address: address, accept: kind.accept, largest: largest, tls: tls, deadline: deadline)
      do throws(DocumentExchange.Failed) {
        return try await exchange.answer()
      } catch {
        switch error {
        case .connect(let failure): last = failure
        case .answer(let failure): throw failure
        }
      }
    }
    throw last
  }
}
