public import Wire

/// What a daemon tells whoever started it.
public enum StartupEvent: Sendable {
  /// What it waits for, in words.
  case waiting(String)
  /// The interface is up and the first netmap applied.
  case ready(JSONValue)
  case stopping
  case stopped
}
