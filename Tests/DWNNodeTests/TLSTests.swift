import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// TLS and HTTP on one port, with files that can be renewed.
@Suite(.timeLimit(.minutes(1)))
struct TLSTests {
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("dwnnode-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  private var certificate: String { folder.appendingPathComponent("cert.pem").path }
  private var key: String { folder.appendingPathComponent("key.pem").path }

  /// Makes a certificate of its own for a name. `false` where there is no openssl.
  private func issue(_ name: String) async throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
      "/CN=\(name)", "-keyout", key, "-out", certificate,
    ]
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    return await withCheckedContinuation { continuation in
      process.terminationHandler = { continuation.resume(returning: $0.terminationStatus == 0) }
      do { try process.run() } catch { continuation.resume(returning: false) }
    }
  }

  /// Asks for `/health` over TLS; gives the answer and the name in the certificate that was shown.
  private func get(_ server: RunningServer, atMost version: TLSVersion? = nil) async throws -> (String, name: String) {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = .none
    configuration.minimumTLSVersion = .tlsv1
    configuration.maximumTLSVersion = version
    let context = try NIOSSLContext(configuration: configuration)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: server.address.ip.description, port: Int(server.address.port)) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
          return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"))
      var answer = ""
      var peer: NIOSSLCertificate?
      for try await part in inbound {
        if peer == nil { peer = try await channel.channel.nioSSL_peerCertificate().get() }
        answer += String(buffer: part)
        if answer.hasSuffix(#"{"ok":true}"#) { break }
      }
      return (answer, peer.map { "\($0)" } ?? "")
    }
  }

  @Test("TLS and plain HTTP are spoken on the same port, and new files count from the next connection on")
  func onePort() async throws {
    guard try await issue("first.example") else { return }
    let files = try TLSFiles(certificatePath: certificate, keyPath: key)
    let running = try await RunningServer.start(ScriptedEndpoint()) { $0.tls = files }
    let first = try await get(running)
    #expect(first.0.hasPrefix("HTTP/1.1 200 ") && first.name.contains("first.example"), "\(first)")
    let plain = try await running.exchange("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    #expect(plain.hasPrefix("HTTP/1.1 200 "))
    #expect(try await issue("second.example"))
    try files.reload()
    #expect(try await get(running).name.contains("second.example"))
    try Data("nonsense".utf8).write(to: URL(fileURLWithPath: certificate))
    #expect(throws: NodeError.self) { try files.reload() }
    #expect(try await get(running).name.contains("second.example"), "what cannot be used changes nothing")
    await running.server.shutdown()
    try FileManager.default.removeItem(at: folder)
  }

  @Test("versions before 1.2 are refused, and so is plain HTTP where TLS is required")
  func refused() async throws {
    guard try await issue("x.example") else { return }
    let files = try TLSFiles(certificatePath: certificate, keyPath: key)
    let running = try await RunningServer.start(ScriptedEndpoint()) {
      $0.tls = files
      $0.requiresTLS = true
      $0.headTimeout = .seconds(2)
    }
    await #expect(throws: (any Error).self) { _ = try await get(running, atMost: .tlsv11) }
    #expect(try await get(running, atMost: .tlsv12).0.hasPrefix("HTTP/1.1 200 "))
    #expect(try await running.exchange("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").isEmpty)
    #expect(try await running.exchange("").isEmpty, "silence is ended")
    await running.server.shutdown()
    try FileManager.default.removeItem(at: folder)
  }

  @Test("a key of another certificate, an encrypted one and a missing file say which file is meant")
  func badFiles() async throws {
    guard try await issue("a.example") else { return }
    let other = folder.appendingPathComponent("other.pem").path
    try FileManager.default.copyItem(atPath: key, toPath: other)
    guard try await issue("b.example") else { return }
    for (path, named) in [(other, other), (certificate, certificate), (folder.path + "/none", folder.path + "/none")] {
      do {
        _ = try TLSFiles(certificatePath: certificate, keyPath: path)
        Issue.record("\(path) was taken")
      } catch {
        #expect(error.description.contains(named), "\(error)")
      }
    }
    try FileManager.default.removeItem(at: folder)
  }
}
