import TestSupport
import Testing
import Wire

@testable import Traversal

/// A router that speaks what a test lets it, at once.
private struct Router {
  static let address = IPAddress("192.168.1.1")!
  static let host = IPAddress("192.168.1.10")!

  var speaksNATPMP = false
  var speaksPCP = false
  var speaksUPnP = false
  var external = IPAddress("203.0.113.9")!
  var epoch: UInt32 = 1000
  /// Whether its clock goes back with each answer.
  var stepsBack = false
  var lifetime: UInt32 = 7200
  /// Result codes with which requests for mappings are refused.
  var natPMPResult: UInt16 = 0
  var pcpResult: UInt8 = 0
  /// UPnP errors, one for each request to come.
  var upnpErrors: [Int] = []
  var upnpService = "urn:schemas-upnp-org:service:WANIPConnection:1"
  var location = "http://192.168.1.1:5000/root.xml"
  var isSilent = false
  /// Whether it has nothing to say to requests for mappings, over UDP.
  var ignoresRequests = false
  /// What it passes on: external port by internal one.
  private(set) var passes: [PortMapping.Port: UInt16] = [:]
  private(set) var calls: [String] = []

  mutating func answer(_ bytes: [UInt8], to target: SocketAddress) -> [(bytes: [UInt8], from: SocketAddress)] {
    guard !isSilent else { return [] }
    if stepsBack { epoch &-= 1 }
    if ignoresRequests, target.port == NATPMP.port, bytes[1] != 0 { return [] }
    if target.port == SSDP.port {
      guard speaksUPnP, String(decoding: bytes, as: UTF8.self).contains("ssdp:all") else { return [] }
      let text =
        "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nUSN: uuid:1::urn:x:InternetGatewayDevice:1\r\nLOCATION: \(location)\r\n\r\n"
      return [(Array(text.utf8), SocketAddress(Self.address, port: 1900))]
    }
    var writer = ByteWriter()
    switch (bytes.first, bytes.dropFirst().first) {
    case (0, 0) where speaksNATPMP:
      writer.append([0, 128, 0, 0])
      writer.bigEndian(epoch)
      writer.append(external.bytes)
    case (0, let opcode?) where speaksNATPMP:
      let port = PortMapping.Port(opcode == 1 ? .udp : .tcp, UInt16(bytes[4]) << 8 | UInt16(bytes[5]))
      let lifetime = bytes[8...].allSatisfy { $0 == 0 } ? 0 : self.lifetime
      writer.append([0, opcode + 128])
      writer.bigEndian(natPMPResult)
      writer.bigEndian(epoch)
      writer.append(bytes[4..<6])
      if natPMPResult == 0 { passes[port] = lifetime == 0 ? nil : 42_000 }
      writer.bigEndian(passes[port] ?? 0)
      writer.bigEndian(lifetime)
    case (2, 0) where speaksPCP:
      writer.append([2, 128, 0, 0, 0, 0, 0, 0])
      writer.bigEndian(epoch)
      writer.append(repeatElement(0, count: 12))
    case (2, 1) where speaksPCP:
      let port = PortMapping.Port(bytes[36] == 17 ? .udp : .tcp, UInt16(bytes[40]) << 8 | UInt16(bytes[41]))
      let lifetime = bytes[4..<8].allSatisfy { $0 == 0 } ? 0 : self.lifetime
      if pcpResult == 0 { passes[port] = lifetime == 0 ? nil : 43_000 }
      writer.append([2, 129, 0, pcpResult])
      writer.bigEndian(lifetime)
      writer.bigEndian(epoch)
      writer.append(repeatElement(0, count: 12))
      writer.append(bytes[24..<42])
      writer.bigEndian(passes[port] ?? 0)
      writer.append([UInt8](repeating: 0, count: 10) + [0xff, 0xff] + external.bytes)
    default: return []
    }
    return [(writer.bytes, SocketAddress(Self.address, port: NATPMP.port))]
  }

  mutating func answer(_ request: PortMapper.HTTPRequest) -> [UInt8]? {
    guard speaksUPnP, !isSilent, request.port == 5000 else { return nil }
    guard let action = request.soapAction?.split(separator: "#").last?.dropLast() else {
      return Array(
        "<root><device><serviceList><service><serviceType>\(upnpService)</serviceType><controlURL>/ctl</controlURL></service></serviceList></device></root>"
          .utf8)
    }
    calls.append(String(action))
    let body = try? XMLNode(parsing: request.body)
    func argument(_ name: String) -> String { body?.descendant(name)?.text ?? "" }
    var inner = "<u:\(action)Response>"
    switch action {
    case "GetStatusInfo": inner += "<NewConnectionStatus>Connected</NewConnectionStatus>"
    case "GetExternalIPAddress": inner += "<NewExternalIPAddress>\(external)</NewExternalIPAddress>"
    case "AddPortMapping", "AddAnyPortMapping":
      if !upnpErrors.isEmpty {
        let code = upnpErrors.removeFirst()
        return Array("<Envelope><Body><Fault><errorCode>\(code)</errorCode></Fault></Body></Envelope>".utf8)
      }
      let transport: PortMapping.Transport = argument("NewProtocol") == "UDP" ? .udp : .tcp
      passes[.init(transport, UInt16(argument("NewInternalPort")) ?? 0)] = UInt16(argument("NewExternalPort"))
      if action == "AddAnyPortMapping" { inner += "<NewReservedPort>44000</NewReservedPort>" }
    case "DeletePortMapping":
      let external = UInt16(argument("NewExternalPort"))
      passes = passes.filter { $0.value != external }
    default: return nil
    }
    return Array("<Envelope><Body>\(inner)</u:\(action)Response></Body></Envelope>".utf8)
  }
}

/// A mapper and its router, and the clock between them.
private struct Household {
  var router: Router
  var mapper: PortMapper
  var now = Instant(nanoseconds: 9_000_000_000_000)
  let random = SeededRandom(93)
  private(set) var mappings: [PortMapping] = []
  /// What was new of them each time that they were told.
  private(set) var news: [PortMapping] = []
  private(set) var requests = 0

  init(_ router: Router) throws {
    self.router = router
    mapper = try #require(PortMapper(gateway: Router.address, host: Router.host))
  }

  mutating func want(_ ports: [PortMapping.Port]) { perform(mapper.want(ports, at: now, random)) }

  mutating func release() { perform(mapper.release()) }

  mutating func doubt() { perform(mapper.doubtAddress(at: now, random)) }

  /// Lets time pass, and everything happen that is due in it.
  mutating func pass(_ time: Duration) {
    let end = now + time
    for _ in 0..<10_000 {
      guard let deadline = mapper.deadline, deadline <= end else { break }
      now = max(now, deadline)
      perform(mapper.advance(at: now, random))
    }
    now = end
  }

  /// In the order in which they were given: what follows from one comes after what stood behind it.
  private mutating func perform(_ actions: [PortMapper.Action]) {
    var actions = actions[...]
    while let action = actions.popFirst() {
      switch action {
      case .send(let bytes, let target):
        requests += 1
        for (answer, source) in router.answer(bytes, to: target) {
          actions += mapper.receive(answer, from: source, at: now, random)
        }
      case .http(let request):
        requests += 1
        actions += mapper.answered(request.id, router.answer(request), at: now, random)
      case .changed(let mappings):
        news += mappings.news(since: self.mappings)
        self.mappings = mappings
      }
    }
  }
}

@Suite("Ports that routers pass on")
struct PortMapperTests {
  private static let udp = PortMapping.Port(.udp, 41641)
  private static let tcp = PortMapping.Port(.tcp, 8787)

  private func household(_ change: (inout Router) -> Void) throws -> Household {
    var router = Router()
    change(&router)
    return try Household(router)
  }

  @Test("a router with NAT-PMP maps UDP and TCP within a second, and is asked first")
  func natPMP() throws {
    var home = try household {
      $0.speaksNATPMP = true
      $0.speaksPCP = true
      $0.speaksUPnP = true
    }
    home.want([Self.udp, Self.tcp])
    home.pass(.seconds(1))
    #expect(home.mappings.map(\.port) == [Self.tcp, Self.udp])
    #expect(home.mappings.allSatisfy { $0.service == .natPMP && $0.external == SocketAddress("203.0.113.9:42000") })
    #expect(home.mapper.answering == [.natPMP, .pcp, .upnp])
    #expect(home.router.calls.isEmpty)
  }

  @Test("a router with PCP alone is asked by it")
  func pcp() throws {
    var home = try household { $0.speaksPCP = true }
    home.want([Self.udp])
    home.pass(.seconds(1))
    #expect(home.mappings.map(\.external) == [SocketAddress("203.0.113.9:43000")!])
    #expect(home.mappings.first?.service == .pcp)
  }

  @Test("a router with UPnP alone is found, asked for its state and address, and maps")
  func upnp() throws {
    var home = try household { $0.speaksUPnP = true }
    home.want([Self.udp, Self.tcp])
    home.pass(.seconds(5))
    #expect(home.mappings.count == 2)
    #expect(home.mappings.allSatisfy { $0.service == .upnp && $0.external.ip == home.router.external })
    #expect(home.mappings.allSatisfy { home.router.passes[$0.port] == $0.external.port && $0.external.port >= 1024 })
    #expect(home.router.calls.prefix(2) == ["GetStatusInfo", "GetExternalIPAddress"])
  }

  @Test("the newer service may choose the port itself")
  func anyPort() throws {
    var home = try household {
      $0.speaksUPnP = true
      $0.upnpService = "urn:schemas-upnp-org:service:WANIPConnection:2"
    }
    home.want([Self.udp])
    home.pass(.seconds(5))
    #expect(home.mappings.map(\.external.port) == [44000])
  }

  @Test("a mapping is renewed at half its time, at the same place, for as long as it is wanted")
  func renewal() throws {
    for speak in [{ $0.speaksNATPMP = true }, { $0.speaksPCP = true }, { $0.speaksUPnP = true }]
      as [(inout Router) -> Void]
    {
      var home = try household(speak)
      home.want([Self.udp])
      home.pass(.seconds(5))
      let first = try #require(home.mappings.first)
      home.pass(.seconds(3600 * 24))
      let last = try #require(home.mappings.first)
      #expect(last.external == first.external)
      #expect(last.expires > home.now)
    }
  }

  private static let speakers: [@Sendable (inout Router) -> Void] = [
    { $0.speaksNATPMP = true }, { $0.speaksPCP = true }, { $0.speaksUPnP = true },
  ]

  @Test("a router that gets another address has its mappings there within five minutes, at once where it is doubted")
  func moved() throws {
    for speak in Self.speakers {
      var home = try household(speak)
      home.want([Self.udp, Self.tcp])
      home.pass(.seconds(60))
      let ports = home.mappings.map(\.external.port)
      for (address, wait, isDoubted) in [("198.51.100.7", 300, false), ("198.51.100.8", 1, true)] {
        let next = try #require(IPAddress(address))
        home.router.external = next
        if isDoubted { home.doubt() }
        home.pass(.seconds(wait))
        #expect(home.mappings.map(\.external.ip) == [next, next])
        #expect(home.mappings.map(\.external.port) == ports)
      }
    }
  }

  @Test("whoever doubts all the time has the router asked every ten seconds; one without mappings is not asked at all")
  func doubts() throws {
    for speak in Self.speakers {
      var home = try household(speak)
      home.doubt()
      #expect(home.requests == 0 && home.mapper.deadline == nil)
      home.want([Self.udp])
      home.pass(.seconds(60))
      let before = home.requests
      for _ in 0..<100 {
        home.doubt()
        home.pass(.seconds(1))
      }
      #expect((10...11).contains(home.requests - before))
    }
  }

  @Test("a router that says it is nowhere keeps its mappings as they are")
  func nowhere() throws {
    for speak in [Self.speakers[0], Self.speakers[2]] {
      var home = try household(speak)
      home.want([Self.udp])
      home.pass(.seconds(60))
      let before = home.mappings.map(\.external)
      home.router.external = IPAddress(v4: 0)
      home.pass(.seconds(600))
      #expect(home.mappings.map(\.external) == before && before.count == 1)
    }
  }

  @Test("what is not wanted any more is given back")
  func release() throws {
    for speak in [{ $0.speaksNATPMP = true }, { $0.speaksPCP = true }, { $0.speaksUPnP = true }]
      as [(inout Router) -> Void]
    {
      var home = try household(speak)
      home.want([Self.udp, Self.tcp])
      home.pass(.seconds(6))
      #expect(home.router.passes.count == 2)
      home.want([Self.tcp])
      home.pass(.seconds(1))
      #expect(Set(home.router.passes.keys) == [Self.tcp] && home.mappings.map(\.port) == [Self.tcp])
      home.release()
      #expect(home.router.passes.isEmpty && home.mappings.isEmpty)
      #expect(home.mapper.deadline == nil)
    }
  }

  @Test("a router that refuses by one way is asked by the next")
  func fallback() throws {
    var home = try household {
      $0.speaksNATPMP = true
      $0.speaksPCP = true
      $0.speaksUPnP = true
      $0.natPMPResult = 2
      $0.pcpResult = 2
    }
    home.want([Self.udp])
    home.pass(.seconds(5))
    #expect(home.mappings.first?.service == .upnp)
  }

  @Test("a router that answers and refuses is one that answers, and its reason is told until it maps something")
  func refusals() throws {
    var home = try household {
      $0.speaksNATPMP = true
      $0.natPMPResult = 2
    }
    home.want([Self.udp])
    home.pass(.seconds(30))
    #expect(home.mapper.answering == [.natPMP])
    #expect(home.mapper.trouble == .refused(.init(service: .natPMP, code: 2)))
    home.router.natPMPResult = 0
    home.pass(.seconds(600))
    #expect(home.mappings.count == 1 && home.mapper.trouble == nil)
    var other = try household {
      $0.speaksUPnP = true
      $0.upnpErrors = Array(repeating: 606, count: 100)
    }
    other.want([Self.udp])
    other.pass(.seconds(30))
    #expect(other.mapper.answering == [.upnp])
    #expect(other.mapper.trouble == .refused(.init(service: .upnp, code: 606)))
  }

  @Test("a router that answers and maps nothing is told of, whatever it does instead, and one that maps is not")
  func mapsNothing() throws {
    let changes: [(inout Router) -> Void] = [
      { $0.external = IPAddress(v4: 0) }, { $0.lifetime = 0 }, { $0.ignoresRequests = true },
      { $0.upnpService = "urn:schemas-upnp-org:service:Toaster:1" },
    ]
    for (index, change) in changes.enumerated() {
      for (number, speak) in Self.speakers.enumerated() where (number == 2) == (index == 3) || index == 0 {
        var home = try household {
          speak(&$0)
          change(&$0)
        }
        home.want([Self.udp])
        #expect(home.mapper.trouble == nil, "nobody has been asked yet")
        home.pass(.seconds(20))
        #expect(home.mappings.isEmpty && home.mapper.trouble == .mapsNothing, "\(index), \(number)")
        home.pass(.seconds(600))
        #expect(home.mapper.trouble == .mapsNothing, "\(index), \(number)")
        home.router = Router()
        speak(&home.router)
        home.pass(.seconds(1300))
        #expect(home.mappings.count == 1 && home.mapper.trouble == nil, "\(index), \(number)")
      }
    }
    var silent = try household { _ in }
    silent.want([Self.udp])
    silent.pass(.seconds(600))
    #expect(silent.mapper.trouble == nil && silent.mapper.answering.isEmpty)
  }

  @Test("a router whose answers are none of the protocols is told of as one that talks nonsense")
  func nonsense() throws {
    var home = try household { _ in }
    home.want([Self.udp])
    _ = home.mapper.receive(
      [7, 7, 7], from: SocketAddress(Router.address, port: NATPMP.port), at: home.now, SeededRandom(96))
    home.pass(.seconds(20))
    #expect(home.mapper.trouble == .nonsense && home.mapper.answering.isEmpty)
    home.pass(.seconds(600))
    #expect(home.mapper.trouble == nil, "it said nothing when it was looked for again")
  }

  @Test("a router behind another NAT is told of by its address outside")
  func behindNAT() throws {
    let address = try #require(IPAddress("10.64.0.7"))
    var home = try household {
      $0.speaksNATPMP = true
      $0.external = address
    }
    home.want([Self.udp])
    home.pass(.seconds(20))
    #expect(home.mapper.trouble == .behindNAT(address))
  }

  @Test("that one port is refused keeps no other from being mapped")
  func oneOfSeveral() throws {
    var home = try household {
      $0.speaksUPnP = true
      $0.upnpErrors = [606]
    }
    home.want([Self.udp, Self.tcp, .init(.udp, 8787), .init(.udp, 8788)])
    home.pass(.seconds(20))
    #expect(home.mappings.count == 3)
    home.pass(.seconds(120))
    #expect(home.mappings.count == 4)
  }

  @Test("a port that is taken wherever it is asked for keeps no other waiting")
  func takenPort() throws {
    var home = try household {
      $0.speaksUPnP = true
      $0.upnpErrors = [718, 718, 718]
    }
    home.want([Self.udp, Self.tcp, .init(.udp, 8787), .init(.udp, 8788)])
    home.pass(.seconds(20))
    #expect(home.mappings.count == 3)
    home.pass(.seconds(120))
    #expect(home.mappings.count == 4)
  }

  @Test("permanent leases are taken where there are no others, and another port where one is taken")
  func upnpErrors() throws {
    for errors in [[725], [402], [718], [718, 725]] {
      var home = try household {
        $0.speaksUPnP = true
        $0.upnpErrors = errors
      }
      home.want([Self.udp])
      home.pass(.seconds(5))
      #expect(home.mappings.count == 1, "\(errors)")
    }
    var refusing = try household {
      $0.speaksUPnP = true
      $0.upnpErrors = Array(repeating: 606, count: 100)
    }
    refusing.want([Self.udp])
    refusing.pass(.seconds(30))
    #expect(refusing.mappings.isEmpty)
    #expect(refusing.router.calls.count { $0 == "AddPortMapping" } == 1)
  }

  @Test("a router that restarted, perhaps with another address, has its mappings again within five minutes")
  func restarted() throws {
    for speak in Self.speakers {
      var home = try household(speak)
      home.want([Self.udp, Self.tcp])
      home.pass(.seconds(5))
      let kept = home.router.passes
      home.router = Router()
      speak(&home.router)
      home.router.epoch = 3
      home.router.external = try #require(IPAddress("198.51.100.7"))
      home.pass(.seconds(310))
      #expect(home.router.passes == kept && kept.count == 2)
      #expect(home.mappings.count == 2)
      #expect(home.mappings.allSatisfy { $0.external.ip == home.router.external })
      #expect(home.mappings.allSatisfy { $0.expires - home.now > .seconds(6800) })
    }
  }

  @Test("a router that says with each answer that it has just started again is asked every ten seconds, and maps")
  func stepsBack() throws {
    for speak in Self.speakers.prefix(2) {
      var home = try household(speak)
      home.router.epoch = .max
      home.router.stepsBack = true
      home.want([Self.udp, Self.tcp])
      home.pass(.seconds(60))
      let before = home.requests
      home.pass(.seconds(600))
      #expect(home.requests - before <= 60 * 6)
      #expect(home.mappings.count == 2)
      #expect(home.news.count <= 2 + 66 * 2)
    }
  }

  @Test("a mapping is news once, whatever is done to keep it, and again when it is elsewhere")
  func news() throws {
    for speak in Self.speakers {
      var home = try household(speak)
      home.want([Self.udp, Self.tcp])
      home.pass(.seconds(4 * 3600))
      #expect(home.news.count == 2 && Set(home.news.map(\.port)) == [Self.udp, Self.tcp])
      home.router.external = try #require(IPAddress("198.51.100.7"))
      home.pass(.seconds(310))
      #expect(home.news.suffix(2).allSatisfy { $0.external.ip == home.router.external } && home.news.count == 4)
    }
  }

  @Test("without a router that maps, one look is taken in a while, and the while grows")
  func nobody() throws {
    var home = try household { _ in }
    home.want([Self.udp])
    home.pass(.seconds(10))
    let first = home.requests
    #expect(first == 10)
    home.pass(.seconds(3600))
    // After 1, 2, 4, 8 and then every 10 minutes.
    #expect((5...10).contains((home.requests - first) / 10))
    #expect(home.mappings.isEmpty)
  }

  @Test("a router that falls silent keeps its mapping until it ends, and gets it back when it speaks")
  func silence() throws {
    var home = try household { $0.speaksNATPMP = true }
    home.want([Self.udp])
    home.pass(.seconds(5))
    home.router.isSilent = true
    home.pass(.seconds(5000))
    #expect(home.mappings.count == 1)
    home.pass(.seconds(3000))
    #expect(home.mappings.isEmpty)
    home.router.isSilent = false
    home.pass(.seconds(700))
    #expect(home.mappings.count == 1)
  }

  @Test(
    "a router that says it is at an address that cannot be is not believed",
    arguments: ["0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.0.1", "255.255.255.255"])
  func nonsenseAddress(text: String) throws {
    let address = try #require(IPAddress(text))
    for speak in [{ $0.speaksNATPMP = true }, { $0.speaksPCP = true }, { $0.speaksUPnP = true }]
      as [(inout Router) -> Void]
    {
      var home = try household {
        speak(&$0)
        $0.external = address
      }
      home.want([Self.udp])
      home.pass(.seconds(20))
      #expect(home.mappings.isEmpty)
    }
  }

  @Test("only the gateway is listened to and spoken to")
  func strangers() throws {
    let random = SeededRandom(94)
    var mapper = try #require(PortMapper(gateway: Router.address, host: Router.host))
    let now = Instant(nanoseconds: 1)
    _ = mapper.want([Self.udp], at: now, random)
    let answer: [UInt8] = [0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9]
    _ = mapper.receive(answer, from: SocketAddress("192.168.1.66:5351")!, at: now, random)
    #expect(mapper.answering.isEmpty)
    // A description elsewhere: the gateway's port and path are asked.
    var home = try household {
      $0.speaksUPnP = true
      $0.location = "http://192.168.1.66:5000/root.xml"
    }
    home.want([Self.udp])
    home.pass(.seconds(5))
    #expect(home.mappings.count == 1)
    for (gateway, host) in [("203.0.113.1", "192.168.1.2"), ("fe80::1", "192.168.1.2"), ("192.168.1.1", "fd00::1")] {
      let (gateway, host) = (try #require(IPAddress(gateway)), try #require(IPAddress(host)))
      let mapper = PortMapper(gateway: gateway, host: host)
      #expect(mapper == nil)
    }
  }

  @Test("a flood of answers, wrong and right, keeps nothing but what was asked for")
  func flood() throws {
    var home = try household { $0.speaksUPnP = true }
    home.want([Self.udp])
    let random = SeededRandom(95)
    for _ in 0..<2000 {
      let port: UInt16 = random.uint32() % 2 == 0 ? 5351 : 1900
      var bytes = random.bytes(60)
      bytes.replaceSubrange(0..<2, with: [UInt8(random.uint32() % 3), UInt8(128 + random.uint32() % 3)])
      let answer =
        "HTTP/1.1 200 OK\r\nST: x:InternetGatewayDevice:1\r\nLOCATION: http://a:\(random.uint32() % 9999 + 1)/\r\n\r\n"
      _ = home.mapper.receive(
        port == 1900 ? Array(answer.utf8) : bytes, from: SocketAddress(Router.address, port: port), at: home.now,
        random)
    }
    #expect((home.mapper.search?.answers.count ?? 0) <= SSDP.maximumAnswers)
    home.pass(.seconds(60))
    #expect(home.mapper.wanted.count == 1)
  }
}
