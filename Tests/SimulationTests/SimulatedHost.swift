import Cryptography
import Traversal
import Wire

/// A machine of the simulation: its keys, the state machines that run on it, and what the simulation notes of it.
struct SimulatedHost {
  let key: X25519PrivateKey
  let disco: X25519PrivateKey
  var finder: PathFinder
  /// The relay can be reached from where it is.
  var hasRelay: Bool
  var activity = Activity.running
  /// Asks the router of its place for a port, if that gives any.
  var mapper: PortMapper?
  /// Where others get to it, as far as it knows itself.
  var endpoints: [SocketAddress] = []
  /// As `endpoints`, what its record says.
  var published: [SocketAddress] = []
  /// What waits for it while it is stopped.
  var waiting: [PathSimulation.Event] = []
  /// Its way to each other host, by number; that to itself is not used.
  var links: [Link]
  /// Addresses of which somebody who may do so told the host, or from which something authentic came.
  var named: Set<SocketAddress> = []
  /// Addresses from which something authentic came.
  var heard: Set<SocketAddress> = []
  /// What was sent to addresses from which nothing came yet.
  var probes: [SocketAddress: [Instant]] = [:]
  /// Where something went that nobody had named.
  var strays: [SocketAddress] = []
  /// Sockets beside its own, by their port.
  var probeSockets: [UInt16: ProbeSocket] = [:]
  /// The one over which came what is just answered.
  var answeringPort: UInt16?
  /// How often ports were guessed at an address that was named.
  var guesses = 0

  /// What becomes of what comes to it.
  enum Activity: Hashable {
    case running
    /// Its program is stopped for a while: what comes waits.
    case stopped(since: Instant)
    /// Nothing of it is left but its keys.
    case gone
  }

  /// One through which a peer is reached that nothing else leads to.
  struct ProbeSocket {
    let peer: Int
    /// To which alone it sends.
    let address: SocketAddress
    /// The peer proved itself over it: it stands for the address.
    var isProven = false
  }

  /// One host's way to another.
  struct Link {
    var route: Route = .none
    var wireMTU = 1280
    var lastSent: Instant?
    /// From the address in use.
    var lastReceivedDirectly: Instant?
    /// Numbers of the data packets that arrived, and the longest time without one between the first and the last.
    var received: Set<Int> = []
    var answered: Set<Int> = []
    var lastArrival: Instant?
    var longestSilence: Duration = .zero
    /// Addresses from which a pong of the peer came.
    var proved: Set<SocketAddress> = []
    /// Addresses to which data went before they had proved themselves.
    var violations: [SocketAddress] = []
  }

  /// Something authentic came from there.
  mutating func hear(from source: SocketAddress) {
    heard.insert(source)
    named.insert(source)
  }

  mutating func noteDisco(to address: SocketAddress, at now: Instant) {
    if finder.probesPorts, !named.contains(address), named.contains(where: { $0.ip == address.ip }) {
      guesses += 1
      return
    }
    if !named.contains(address) { strays.append(address) }
    if !heard.contains(address) { probes[address, default: []].append(now) }
  }
}
