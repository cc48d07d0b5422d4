extension String {
  /// How much of what others say is kept to be shown to people, in scalars.
  public static let usualClip = 500

  /// Its begin, of so many scalars at most. Characters have no bound: one letter may bear any number of marks.
  public func clipped(to count: Int = usualClip) -> String {
    utf8.count <= count ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(count)))
  }
}
