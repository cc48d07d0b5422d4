import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing
import Wire

@testable import DWNNode

/// TLS and HTTP on one port, with files that can be renewed.
@Suite(.timeLimit(.minutes(10)))
struct TLSTests {
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
    let certificate = try await SelfSignedCertificate("first.example")
    let files = try TLSFiles(certificate)
    let running = try await RunningServer.start(ScriptedEndpoint()) { $0.tls = files }
    let first = try await get(running)
    #expect(first.0.hasPrefix("HTTP/1.1 200 ") && first.name.contains("first.example"), "\(first)")
    let plain = try await running.exchange("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    #expect(plain.hasPrefix("HTTP/1.1 200 "))
    try await certificate.renew("second.example")
    try files.reload()
    #expect(try await get(running).name.contains("second.example"))
    try Data("nonsense".utf8).write(to: URL(fileURLWithPath: certificate.certificatePath))
    #expect(throws: NodeError.self) { try files.reload() }
    #expect(try await get(running).name.contains("second.example"), "what cannot be used changes nothing")
    await running.server.shutdown()
  }

  @Test("files that were renewed on the disk are noticed, once, and not while one of them is missing")
  func renewed() async throws {
    let certificate = try await SelfSignedCertificate("first.example")
    let files = try TLSFiles(certificate)
    #expect(!files.haveChanged())
    try await certificate.renew("second.example")
    #expect(files.haveChanged())
    #expect(!files.haveChanged())
    let aside = certificate.keyPath + ".aside"
    try FileManager.default.moveItem(atPath: certificate.keyPath, toPath: aside)
    #expect(!files.haveChanged())
    try FileManager.default.moveItem(atPath: aside, toPath: certificate.keyPath)
    #expect(files.haveChanged())
    try files.reload()
    #expect(!files.haveChanged())
  }

  @Test("renewed files are taken up without a word; those that do not fit are told of, and change nothing")
  func watched() async throws {
    let certificate = try await SelfSignedCertificate("first.example")
    let files = try TLSFiles(certificate)
    let running = try await RunningServer.start(ScriptedEndpoint()) { $0.tls = files }
    let (told, teller) = AsyncStream.makeStream(of: Bool.self)
    let watching = Task { await files.watch(every: .milliseconds(5)) { teller.yield($0 == nil) } }
    var events = told.makeAsyncIterator()
    // Two files cannot change at once: when one was looked at before the other, there is a failure first.
    try await certificate.renew("second.example")
    var isTakenUp = await events.next()
    while isTakenUp == false { isTakenUp = await events.next() }
    #expect(isTakenUp == true)
    #expect(try await get(running).name.contains("second.example"))
    try Data("nonsense".utf8).write(to: URL(fileURLWithPath: certificate.certificatePath))
    while isTakenUp == true { isTakenUp = await events.next() }
    #expect(isTakenUp == false)
    #expect(try await get(running).name.contains("second.example"))
    watching.cancel()
    await watching.value
    await running.server.shutdown()
  }

  @Test("versions before 1.2 are refused, and so is plain HTTP where TLS is required")
  func refused() async throws {
    let files = try TLSFiles(try await SelfSignedCertificate("x.example"))
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
  }

  @Test("a key of another certificate, an encrypted one and a missing file say which file is meant")
  func badFiles() async throws {
    let certificate = try await SelfSignedCertificate("a.example")
    let other = try await SelfSignedCertificate("b.example")
    for path in [other.keyPath, certificate.certificatePath, certificate.keyPath + ".none"] {
      do {
        _ = try TLSFiles(certificatePath: certificate.certificatePath, keyPath: path)
        Issue.record("\(path) was taken")
      } catch {
        #expect(error.description.contains(path), "\(error)")
        #expect(error.description.contains("no such file") == path.hasSuffix(".none"), "\(error)")
      }
    }
    withExtendedLifetime(other) {}
    let absent = certificate.certificatePath + ".none"
    let error = #expect(throws: NodeError.self) {
      _ = try TLSFiles(certificatePath: absent, keyPath: certificate.keyPath)
    }
    #expect(error == .badTLSFile(path: absent, reason: "no such file or directory"))
  }
}

extension TLSFiles {
  fileprivate convenience init(_ certificate: SelfSignedCertificate) throws {
    try self.init(certificatePath: certificate.certificatePath, keyPath: certificate.keyPath)
  }
}
