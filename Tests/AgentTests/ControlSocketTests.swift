import Foundation
import Logging
import Testing
import Wire

@testable import Agent

@Suite("Control socket")
struct ControlSocketTests {
  private func withServer(
    _ handler: @escaping ControlSocketServer.Handler, _ body: (ControlSocketClient, StateDirectory) async throws -> Void
  ) async throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let server = try await ControlSocketServer(
      path: directory.socketPath, logger: Logger(label: "test"), handler: handler)
    do {
      try await body(ControlSocketClient(directory), directory)
    } catch {
      await server.shutdown()
      throw error
    }
    await server.shutdown()
    #expect(!FileManager.default.fileExists(atPath: directory.socketPath))
  }

  /// The client blocks, as a command line may; the server's handler needs the threads of this process.
  private func ask(_ client: ControlSocketClient, _ request: ControlRequest) async throws -> ControlResponse? {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(with: Result { try client.send(request, timeout: .seconds(120)) })
      }
    }
  }

  @Test("carries a command and its arguments there and the answer back")
  func roundTrip() async throws {
    try await withServer { request in
      ControlResponse(
        200, ["path": .string(request.path), "body": (try? JSONValue(parsing: request.body)) ?? .null])
    } _: { client, _ in
      let answer = try #require(await ask(client, .command("peer-add", ["did": "did:jwk:x", "label": "Zoë"])))
      #expect(answer.status == 200)
      #expect(answer.body["path"] == "/api/v0/commands/peer-add")
      #expect(answer.body["body"]?["label"] == "Zoë")
    }
  }

  @Test("a large answer arrives whole")
  func large() async throws {
    let text = String(repeating: "peer ", count: 200_000)
    try await withServer { _ in
      ControlResponse(200, ["text": .string(text)])
    } _: { client, _ in
      let answer = try await ask(client, .status)
      #expect(answer?.body["text"]?.string == text)
    }
  }

  @Test("belongs to its owner alone")
  func permissions() async throws {
    try await withServer { _ in
      ControlResponse(200, .null)
    } _: { _, directory in
      let attributes = try FileManager.default.attributesOfItem(atPath: directory.socketPath)
      #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
  }

  @Test("without a daemon there is no answer, and a socket that was left behind is no daemon")
  func nobody() async throws {
    let folder = TemporaryFolder()
    let directory = try StateDirectory(opening: folder.path)
    let before = try ControlSocketClient(directory).send(.status, timeout: .seconds(120))
    #expect(before == nil)
    let server = try await ControlSocketServer(path: directory.socketPath, logger: Logger(label: "test")) { _ in
      .error(404, "")
    }
    await server.shutdown()
    _ = FileManager.default.createFile(atPath: directory.socketPath, contents: nil)
    let after = try ControlSocketClient(directory).send(.status, timeout: .seconds(120))
    #expect(after == nil)
  }
}
