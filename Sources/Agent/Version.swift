/// The version of this program, as `meshd --version` prints it.
public enum Version {
  public static let text = "0.1.0"
}
