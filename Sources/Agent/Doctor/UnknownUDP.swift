public import Wire

/// Why it is not known whether UDP gets through, for people.
public enum UnknownUDP {
  /// - Parameter netcheck: the object of `netcheck --json`, which names what is wrong with each server.
  public static func reason(in netcheck: JSONValue) -> String {
    let servers = (netcheck["relays"]?.array ?? []) + (netcheck["stun"]?.array ?? [])
    return servers.contains { $0["error"]?.string != nil }
      ? "no server says where this machine is seen" : "there is nobody to ask"
  }
}
