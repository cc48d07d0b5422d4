import CLinux

/// What whoever lists processes calls this one.
public enum ProcessName {
  /// A daemon is started as `/proc/self/exe`, and would be called so. To be called on the first thread, whose name is the process's;
  /// threads that begin later take it over.
  public static func set() { clinux_name_thread("meshd") }
}
