#if canImport(Glibc)
  import Glibc
#endif
import NIOSSL
import Synchronization

/// A certificate chain and its private key in two PEM files, and what connections use of them now. TLS 1.2 and newer.
///
/// `reload` takes up new files for the connections that come after it. Files that do not fit leave everything as it was: a renewal
/// that went wrong does not end a node.
public final class TLSFiles: Sendable {
  private let certificatePath: String
  private let keyPath: String
  private let current: Mutex<NIOSSLContext>
  /// When the files were last looked at: their times and sizes then.
  private let seen: Mutex<[FileMark?]>

  public init(certificatePath: String, keyPath: String) throws(NodeError) {
    self.certificatePath = certificatePath
    self.keyPath = keyPath
    seen = Mutex([FileMark(certificatePath), FileMark(keyPath)])
    current = Mutex(try Self.load(certificatePath, keyPath))
  }

  /// Whether the files are others than when this was asked last, or at the start.
  public func haveChanged() -> Bool {
    let now = [FileMark(certificatePath), FileMark(keyPath)]
    return seen.withLock { seen in
      defer { seen = now }
      return seen != now && !now.contains(nil)
    }
  }

  /// Reads the files again.
  public func reload() throws(NodeError) {
    let context = try Self.load(certificatePath, keyPath)
    current.withLock { $0 = context }
  }

  /// Looks at the files now and then, until the task is cancelled, and reads them again when they have changed. `told` is given the
  /// reason when they do not fit, and else `nil`.
  public func watch(every pause: Duration, told: (NodeError?) -> Void) async {
    while (try? await Task.sleep(for: pause)) != nil {
      guard haveChanged() else { continue }
      do throws(NodeError) {
        try reload()
        told(nil)
      } catch {
        told(error)
      }
    }
  }

  func makeHandler() -> NIOSSLServerHandler {
    NIOSSLServerHandler(context: current.withLock { $0 })
  }

  private static func load(_ certificatePath: String, _ keyPath: String) throws(NodeError) -> NIOSSLContext {
    for path in [certificatePath, keyPath] where access(path, R_OK) != 0 {
      throw .badTLSFile(path: path, reason: String(cString: strerror(errno)).lowercased())
    }
    let chain: [NIOSSLCertificateSource]
    do {
      chain = try NIOSSLCertificate.fromPEMFile(certificatePath).map { .certificate($0) }
    } catch {
      throw .badTLSFile(path: certificatePath, reason: "it holds no certificate in PEM form that can be read")
    }
    guard !chain.isEmpty else { throw .badTLSFile(path: certificatePath, reason: "it holds no certificate") }
    let key: NIOSSLPrivateKey
    do {
      key = try NIOSSLPrivateKey(file: keyPath, format: .pem)
    } catch {
      throw .badTLSFile(path: keyPath, reason: "it holds no unencrypted private key in PEM form that can be read")
    }
    var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = ["http/1.1"]
    do {
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw .badTLSFile(path: keyPath, reason: "the key does not belong to the certificate in \(certificatePath)")
    }
  }
}

/// What tells one state of a file from another.
private struct FileMark: Hashable {
  var inode: UInt64
  var size: Int64
  var seconds: Int
  var nanoseconds: Int

  /// `nil` when there is no such file.
  init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    seconds = Int(status.st_mtim.tv_sec)
    nanoseconds = Int(status.st_mtim.tv_nsec)
  }
}
