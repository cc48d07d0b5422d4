/// Reads the text of a pattern; `nil` where it has a form that is not supported.
struct SchemaPatternParser {
  private let scalars: [Unicode.Scalar]
  private var position = 0
  /// Bounds the recursion.
  private var depth = 0

  private static let punctuation = Set("^$\\.*+?()[]{}|/-".unicodeScalars)
  private static let greatestCount = 1000

  init(_ text: String) {
    scalars = Array(text.unicodeScalars)
  }

  mutating func parse() -> SchemaPatternNode? {
    guard let node = choice(), position == scalars.count else { return nil }
    return node
  }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    position += 1
    return true
  }

  private mutating func choice() -> SchemaPatternNode? {
    guard depth < 16 else { return nil }
    depth += 1
    defer { depth -= 1 }
    var branches: [SchemaPatternNode] = []
    repeat {
      var pieces: [SchemaPatternNode] = []
      while let scalar = next, scalar != "|", scalar != ")" {
        guard let piece = repeated() else { return nil }
        pieces.append(piece)
      }
      branches.append(.sequence(pieces))
    } while take("|")
    return .choice(branches)
  }

  private mutating func repeated() -> SchemaPatternNode? {
    guard let node = atom() else { return nil }
    if take("?") { return .repetition(node, least: 0, most: 1) }
    if take("*") { return .repetition(node, least: 0, most: nil) }
    if take("+") { return .repetition(node, least: 1, most: nil) }
    guard take("{") else { return node }
    guard let least = number() else { return nil }
    var most: Int? = least
    if take(",") {
      most = nil
      if next != "}" {
        guard let number = number(), number >= least else { return nil }
        most = number
      }
    }
    return take("}") ? .repetition(node, least: least, most: most) : nil
  }

  private mutating func number() -> Int? {
    var value = 0
    var count = 0
    while let digit = next, ("0"..."9").contains(digit) {
      value = value * 10 + Int(digit.value - 0x30)
      guard value <= Self.greatestCount else { return nil }
      count += 1
      position += 1
    }
    return count > 0 ? value : nil
  }

  private mutating func atom() -> SchemaPatternNode? {
    guard let scalar = next else { return nil }
    position += 1
    switch scalar {
    case "^": return .textStart
    case "$": return .textEnd
    case ".": return .scalar(.any)
    case "\\": return escaped().map { .scalar($0) }
    case "[": return scalarClass().map { .scalar($0) }
    case "(":
      // `(?…)` would be a directive.
      guard next != "?", let node = choice(), take(")") else { return nil }
      return node
    case "*", "+", "?", "{", "}", "]", ")", "|": return nil
    default: return .scalar(ScalarClass(ranges: [scalar.value...scalar.value]))
    }
  }

  private mutating func escaped() -> ScalarClass? {
    guard let scalar = next else { return nil }
    position += 1
    if scalar == "d" { return .digits }
    return Self.punctuation.contains(scalar) ? ScalarClass(ranges: [scalar.value...scalar.value]) : nil
  }

  private mutating func scalarClass() -> ScalarClass? {
    var result = ScalarClass(ranges: [], isInverted: take("^"))
    while let scalar = next {
      position += 1
      switch scalar {
      case "]": return result.ranges.isEmpty ? nil : result
      case "[": return nil
      case "\\":
        guard let scalars = escaped() else { return nil }
        result.ranges += scalars.ranges
      default:
        // A hyphen at the end stands for itself.
        if next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" {
          let last = scalars[position + 1]
          guard scalar <= last, last != "\\" else { return nil }
          position += 2
          result.ranges.append(scalar.value...last.value)
        } else {
          result.ranges.append(scalar.value...scalar.value)
        }
      }
    }
    return nil
  }
}
