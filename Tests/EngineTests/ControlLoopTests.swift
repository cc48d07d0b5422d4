import CLinux
import Glibc
import Synchronization
import Testing

@testable import Engine

private actor Counter {
  private let loop: ControlLoop
  private(set) var value = 0
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  init(_ loop: ControlLoop) { self.loop = loop }

  deinit { loop.end() }

  func add() { value += 1 }

  func watch(_ descriptor: CInt) {
    loop.watch(descriptor) { [weak self] in
      clinux_event_clear(descriptor)
      self?.assumeIsolated { $0.value += 1000 }
    }
  }

  func unwatch(_ descriptor: CInt) { loop.unwatch(descriptor) }
}

@Suite("the engine's own thread")
struct ControlLoopTests {
  @Test("runs every job of its actor, from wherever it comes")
  func jobs() async throws {
    let counter = Counter(try ControlLoop.start())
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 { group.addTask { for _ in 0..<500 { await counter.add() } } }
    }
    #expect(await counter.value == 4000)
  }

  @Test("calls a descriptor's handler in the actor's isolation, and no more once it is forgotten")
  func descriptors() async throws {
    let event = clinux_event_create()
    defer { close(event) }
    let counter = Counter(try ControlLoop.start())
    await counter.watch(event)
    clinux_event_signal(event)
    while await counter.value == 0 { await Task.yield() }
    #expect(await counter.value == 1000)
    await counter.unwatch(event)
    clinux_event_signal(event)
    for _ in 0..<100 { await counter.add() }
    #expect(await counter.value == 1100)
  }
}

@Suite("an engine's configuration")
struct EngineConfigurationTests {
  @Test(
    "names that the kernel would refuse are refused",
    arguments: ["", ".", "..", "a/b", "a b", "sixteen-letters!", "mesh:0", "mesh%d", "mäsh"])
  func names(name: String) { #expect(!EngineConfiguration.isInterfaceName(name)) }

  @Test("names that it takes are taken", arguments: ["mesh0", "fifteen-letters", "m", "my_mesh.1"])
  func goodNames(name: String) { #expect(EngineConfiguration.isInterfaceName(name)) }
}
