import Cryptography
import DataPath
import NIOCore
import TestSupport
import Testing
import Wire

@testable import Engine

@Suite("what relays bring")
struct RelayInboxTests {
  private let key = X25519PrivateKey(random: SeededRandom(3)).publicKey
  private let other = X25519PrivateKey(random: SeededRandom(4)).publicKey
  private let disco = ByteBuffer(bytes: [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac] + [UInt8](repeating: 1, count: 100))
  private let initiation = ByteBuffer(bytes: [1, 0, 0, 0] + [UInt8](repeating: 1, count: 144))
  private let transport = ByteBuffer(bytes: [4, 0, 0, 0] + [UInt8](repeating: 1, count: 60))

  private func words(_ messages: [RelayInbox.Message]) -> [String] {
    messages.map {
      switch $0 {
      case .disco(_, _, let relay): "disco \(relay)"
      case .handshake: "handshake"
      case .transport: "transport"
      }
    }
  }

  private func inbox(_ body: (RelayInbox) throws -> Void) throws {
    let link = try Link(isStarted: false)
    try body(RelayInbox(link.a.dataPath.relayInlet))
  }

  @Test("is given out in its order; of transport messages it is said once in a while whose they are")
  func order() throws {
    try inbox { inbox in
      inbox.put(disco, from: key, over: 1)
      inbox.put(transport, from: key, over: 1)
      inbox.put(transport, from: key, over: 1)
      inbox.put(initiation, from: other, over: 2)
      inbox.put(disco, from: other, over: 2)
      #expect(words(inbox.takeAll()) == ["disco 1", "transport", "handshake", "disco 2"])
      #expect(inbox.takeAll().isEmpty)
    }
  }

  @Test("a flood over one relay, or of one kind, leaves room for the others")
  func floods() throws {
    try inbox { inbox in
      for _ in 0..<10_000 { inbox.put(disco, from: key, over: 1) }
      inbox.put(initiation, from: key, over: 1)
      inbox.put(disco, from: other, over: 2)
      let taken = words(inbox.takeAll())
      #expect(taken.count == RelayInbox.capacity + 2)
      #expect(taken.suffix(2) == ["handshake", "disco 2"])
      inbox.put(disco, from: key, over: 1)
      #expect(words(inbox.takeAll()) == ["disco 1"])
    }
  }

  @Test("however many relays flood, what waits is bounded")
  func total() throws {
    try inbox { inbox in
      for relay in 1...100 as ClosedRange<UInt16> {
        for _ in 0..<RelayInbox.capacity { inbox.put(disco, from: key, over: relay) }
      }
      #expect(inbox.takeAll().count == RelayInbox.totalCapacity)
    }
  }

  @Test("what is neither a packet of ours nor short enough is passed over")
  func others() throws {
    try inbox { inbox in
      inbox.put(ByteBuffer(), from: key, over: 1)
      inbox.put(ByteBuffer(bytes: [1, 0, 0, 0] + [UInt8](repeating: 0, count: 145)), from: key, over: 1)
      inbox.put(ByteBuffer(bytes: [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]), from: key, over: 1)
      let magic: [UInt8] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]
      inbox.put(ByteBuffer(bytes: magic + [UInt8](repeating: 0, count: RelayInbox.longestDisco)), from: key, over: 1)
      #expect(inbox.takeAll().isEmpty)
    }
  }
}
