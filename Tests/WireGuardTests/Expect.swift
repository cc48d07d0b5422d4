import Testing

/// `#expect` for a condition that changes what it asks, which the macro cannot take apart.
func expect(_ condition: Bool, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(condition, comment, sourceLocation: sourceLocation)
}
