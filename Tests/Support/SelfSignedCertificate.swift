import Foundation

/// A certificate that signs itself, and its key, as two PEM files in a folder of their own. They are made by `openssl`.
public final class SelfSignedCertificate: Sendable {
  public struct Failure: Error {
    let reason: String
  }

  private let folder: URL

  public var certificatePath: String { folder.appendingPathComponent("cert.pem").path }
  public var keyPath: String { folder.appendingPathComponent("key.pem").path }

  /// For a name, or for an IPv4 address.
  public init(_ name: String) async throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("certificate-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try await renew(name)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// Another certificate and another key in the same files.
  public func renew(_ name: String) async throws {
    let kind = name.allSatisfy { $0.isNumber || $0 == "." } ? "IP" : "DNS"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(kind):\(name)", "-keyout", keyPath, "-out",
      certificatePath,
    ]
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    let status: Int32 = try await withCheckedThrowingContinuation { continuation in
      process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
    guard status == 0 else { throw Failure(reason: "openssl ended with \(status): run scripts/setup") }
  }
}
