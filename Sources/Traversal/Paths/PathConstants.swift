/// Times and bounds of path selection (`traversal.md`, 17; `reach.md`, 5).
public enum PathConstants {
  /// A path is pinged this often while packets are sent.
  static let heartbeat: Duration = .seconds(3)
  /// A pong proves its path for so long: a little more than two heartbeats.
  static let trust: Duration = .milliseconds(6500)
  /// Without a packet sent for so long, a path is left to go cold.
  static let activity: Duration = .seconds(45)
  public static let pingTimeout: Duration = .seconds(5)
  /// A path that was silent for so long is none; until then packets go there too, beside the relay.
  static let givingUp: Duration = .seconds(15)
  /// A candidate is pinged once in this time. One ping more is for a reason: a call names it anew, or the way in use fell silent. Two more
  /// are for packets of the peer that came from there.
  static let pingInterval: Duration = .seconds(5)
  /// What a call names for the first time is pinged once more after so long: the caller's NAT may let this machine in only since the caller
  /// knows of it. What was pinged a moment before the call waits for that, too.
  static let calledAgain: Duration = .milliseconds(300)
  /// What comes from an address that is not trusted is not answered with pings more often, be it the way in use.
  static let pingBackInterval: Duration = .milliseconds(250)
  /// Better ways than a slow one are looked for this often.
  static let upgradeInterval: Duration = .seconds(60)
  /// A path as fast as this needs no better one.
  static let goodLatency: Duration = .milliseconds(5)
  /// Own addresses that are older are found out again before a peer is told them.
  static let endpointFreshness: Duration = .seconds(27)
  /// An address learnt from a ping is forgotten after so long without another one.
  static let learntLifetime: Duration = .seconds(45)
  /// While packets are sent and nothing comes back for so long, the path is doubted.
  static let silence: Duration = .seconds(1)
  /// How long a doubted path has for its answer, at least; else three times its latency.
  static let doubt: Duration = .milliseconds(300)
  /// Between two messages that ask a peer for its pings, and between two that are heeded.
  static let callInterval: Duration = .seconds(1)
  /// What is put off for want of room is tried again after so long.
  static let retry: Duration = .seconds(1)
  /// When a peer is called once more: it counts the interval by when calls come, and one may travel quicker than the one before.
  static let callAgain: Duration = .milliseconds(1100)

  /// So long plain pings have, before ports are guessed.
  static let plainPings: Duration = .seconds(2)
  /// Between two times that the ports of one peer are guessed.
  static let portProbingPause: Duration = .seconds(600)
  static let guesses = 1024
  static let guessesAtOnce = 10
  /// Between two lots of guesses, or of ports that are opened.
  static let guessInterval: Duration = .milliseconds(100)
  static let openPorts = 256
  static let openPortsAtOnce = 32
  /// As long as guesses may come: all of them, and a little more.
  static let openPortsLifetime: Duration = .seconds(15)
  /// What a peer that left the netmap has used up is known for so long.
  static let limitsMemory: Duration = .seconds(600)

  /// So often a peer is called again before the next heartbeat.
  static let callsInARow = 2

  static let recordCandidates = 20
  static let calledCandidates = 20
  static let learntCandidates = 16
  static let candidates = recordCandidates + calledCandidates + learntCandidates
  static let pingsPerSecondAndPeer = 40
  static let pingsPerSecond = 400
  /// So many of a peer's pings, and of all, are left to the ways in use by whoever looks for others.
  static let pingsKeptForWay = 10
  static let pingsKeptForWays = 100
  static let pongsPerSecondAndPeer = 40
  static let pongsKeptForWay = 10

  /// A message that comes again within this time, and among so many, is refused.
  static let seenPings = 512
  static let seenPingsLifetime: Duration = .seconds(120)
  static let seenCalls = 128
  static let seenCallsLifetime: Duration = .seconds(600)
  static let outstandingPings = 128
  static let outstandingKeptForWay = 16

  /// What every path carries: less is no path.
  static let smallestMTU = 1280
  /// The lengths that are tried, with IP header.
  static let probedMTUs = [1280, 1360, 1400, 1500]
  static let probeTries = 3
  static let probeInterval: Duration = .seconds(1)
  static let probeAgain: Duration = .seconds(600)
  /// A path that is doubted is probed again at once, unless it was just now.
  static let probeRest: Duration = .seconds(4)

  /// Without a relay nobody carries a call: so many peers are pinged when their records change, and at random within these times.
  static let peersPingedUnasked = 64
  static let unaskedInterval: ClosedRange<Duration> = .seconds(20)...(.seconds(26))
}
