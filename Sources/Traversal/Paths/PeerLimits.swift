import Wire

/// What one peer can make this machine do, counted by its node key. It outlives the ways to the peer: whoever hides a disco key and shows
/// it again, or lets addresses come and go, has no more for it (`reach.md` 5, "Hygiene").
final class PeerLimits {
  var pings = RateWindow(limit: PathConstants.pingsPerSecondAndPeer)
  var pongs = RateWindow(limit: PathConstants.pongsPerSecondAndPeer)
  var heededCallAt: Instant?
  var portsProbedAt: Instant?
  /// When the peer was found missing in the netmap.
  var leftAt: Instant?
}
