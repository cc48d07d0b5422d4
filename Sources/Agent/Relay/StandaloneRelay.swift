import Cryptography
import DERP
public import Logging
import NIOPosix
import UnixSignals
public import Wire

/// `meshd relay serve`: a relay by itself, without a network of its own, until it is interrupted.
public enum StandaloneRelay {
  /// Who may use it.
  public enum Members: Sendable {
    case everybody
    /// Those whom a file names; it is read again when it changes.
    case file(String)
    /// The machines of the network that this state directory's daemon is in.
    case daemon(StateDirectory)
  }

  public struct Options: Sendable {
    public var listen: [SocketAddress]
    /// The folder of its key and certificate.
    public var data: String
    public var members: Members

    public init(listen: [SocketAddress], data: String, members: Members) {
      self.listen = listen
      self.data = data
      self.members = members
    }
  }

  /// What the record of a relay has to say of this one.
  public struct Description: Sendable {
    public let listeners: [SocketAddress]
    public let stunPorts: [UInt16]
    /// SHA-256 of its certificate, in hexadecimal digits.
    public let pin: String
  }

  /// How soon a change of the members counts.
  static let interval: Duration = .milliseconds(500)

  public static func run(
    _ options: Options, logger: Logger, whenReady: @Sendable (Description) -> Void
  ) async throws {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    let serving = try await start(options, limits: RelayLimits(openFiles: OpenFiles.raiseLimit()), logger: logger)
    whenReady(serving.description)
    for await _ in signals { break }
    logger.info("stopping")
    await serving.stop()
  }

  /// A relay that carries packets, and follows who may use it.
  struct Serving: Sendable {
    let relay: MeshRelay
    fileprivate let following: Task<Void, Never>

    var description: Description {
      Description(listeners: relay.listeners, stunPorts: relay.stunPorts, pin: Hex.encode(relay.certificate.array))
    }

    func stop() async {
      following.cancel()
      await relay.stop()
    }
  }

  /// - Parameter looked: is told whenever the members have been looked at, whatever came of it.
  static func start(
    _ options: Options, limits: RelayLimits = RelayLimits(), logger: Logger,
    looked: @escaping @Sendable () -> Void = {}
  ) async throws -> Serving {
    let isOpen = if case .everybody = options.members { true } else { false }
    let relay = try MeshRelay(
      in: try StateDirectory(opening: options.data), isOpen: isOpen, limits: limits, logger: logger)
    // What cannot be read at the start is an error; what cannot be read later leaves everything as it is.
    var source = try MemberSource(options.members)
    if let members = try await source.next() { relay.admit(members) }
    try await relay.listen(on: options.listen)
    return Serving(relay: relay, following: Task { [source] in await follow(source, relay, logger, looked) })
  }

  private static func follow(
    _ source: MemberSource, _ relay: MeshRelay, _ logger: Logger, _ looked: @Sendable () -> Void
  ) async {
    var source = source
    var told: String?
    while (try? await Task.sleep(for: interval)) != nil {
      do {
        if let members = try await source.next() {
          relay.admit(members)
          logger.info("the members changed", metadata: ["count": "\(members.keys.count)"])
        }
        told = nil
      } catch {
        if told != "\(error)" {
          logger.warning("the members stay those of before", metadata: ["reason": "\(error)"])
        }
        told = "\(error)"
      }
      looked()
    }
  }
}

/// Tells the members when they are others than before.
private struct MemberSource: Sendable {
  private enum Kind {
    case everybody
    case file(MembersFile)
    case daemon(ControlSocketClient)
  }

  private var kind: Kind
  private var last: RelayMembers?

  init(_ members: StandaloneRelay.Members) throws {
    kind =
      switch members {
      case .everybody: .everybody
      case .file(let path): .file(MembersFile(path))
      case .daemon(let directory): .daemon(ControlSocketClient(directory))
      }
  }

  /// `nil`: they are those of before. A daemon that does not run has none to tell, and is asked again.
  mutating func next() async throws -> RelayMembers? {
    let members: RelayMembers?
    switch kind {
    case .everybody: return nil
    case .file(var file):
      // Whatever they run.
      members = try file.readIfChanged().map { RelayMembers($0, nameRelay: false) }
      kind = .file(file)
    case .daemon(let client): members = try await Self.ask(client)
    }
    guard let members, members != last else { return nil }
    last = members
    return members
  }

  private static func ask(_ client: ControlSocketClient) async throws -> RelayMembers? {
    let answer = try await NIOThreadPool.singleton.runIfActive { try client.send(.members) }
    guard let answer else { return nil }
    guard answer.status == 200, let members = RelayMembers(json: answer.body) else {
      throw AgentError.daemonAnswers(answer.body["error"]?.string ?? "the daemon answered \(answer.status)")
    }
    return members
  }
}
