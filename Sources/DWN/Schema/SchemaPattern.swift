/// A regular expression of the few forms that schemas need, matched without ever going back: the time is the length of the text
/// times the size of the pattern, whatever both are.
///
/// Literals, `.`, classes with ranges (`[a-z0-9._-]`, `[^/]`), `\d` and escaped punctuation, groups, `|`, `?`, `*`, `+`, `{n}`,
/// `{n,}`, `{n,m}`, and the anchors `^` and `$`. As JSON Schema wants it, a pattern may match anywhere unless it is anchored.
struct SchemaPattern: Hashable, Sendable {
  enum Instruction: Hashable, Sendable {
    case scalar(ScalarClass)
    /// Goes on at both places.
    case fork(Int, Int)
    case jump(Int)
    case textStart
    case textEnd
    case match
  }

  /// Repetitions are written out; a pattern that needs more is refused.
  static let maximumSize = 4096

  private let program: [Instruction]

  /// `nil` for a form that is not supported, and for one that is too large.
  init?(_ text: String) {
    var parser = SchemaPatternParser(text)
    guard let node = parser.parse(), let program = SchemaPatternCompiler.program(for: node, limit: Self.maximumSize)
    else {
      return nil
    }
    self.program = program
  }

  /// Follows all ways through the program at once, one scalar after the other.
  func matches(_ text: String) -> Bool {
    let scalars = Array(text.unicodeScalars)
    var places = Places(count: program.count)
    for position in 0...scalars.count {
      // A match may begin here too.
      places.add(0)
      var index = 0
      var next = Places(count: program.count)
      while index < places.list.count {
        let place = places.list[index]
        index += 1
        switch program[place] {
        case .match: return true
        case .jump(let target): places.add(target)
        case .fork(let one, let other):
          places.add(one)
          places.add(other)
        case .textStart: if position == 0 { places.add(place + 1) }
        case .textEnd: if position == scalars.count { places.add(place + 1) }
        case .scalar(let allowed):
          if position < scalars.count, allowed.contains(scalars[position]) { next.add(place + 1) }
        }
      }
      places = next
    }
    return false
  }

  /// Program places in the order in which they were reached, each once.
  private struct Places {
    private(set) var list: [Int] = []
    private var isThere: [Bool]

    init(count: Int) { isThere = [Bool](repeating: false, count: count) }

    mutating func add(_ place: Int) {
      if !isThere[place] {
        isThere[place] = true
        list.append(place)
      }
    }
  }
}

/// A set of Unicode scalars as ranges.
struct ScalarClass: Hashable, Sendable {
  var ranges: [ClosedRange<UInt32>]
  var isInverted = false

  static let any = ScalarClass(ranges: [], isInverted: true)
  static let digits = ScalarClass(ranges: [0x30...0x39])

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    ranges.contains { $0.contains(scalar.value) } != isInverted
  }
}

indirect enum SchemaPatternNode {
  case scalar(ScalarClass)
  case textStart
  case textEnd
  case sequence([SchemaPatternNode])
  case choice([SchemaPatternNode])
  /// `most` is `nil` for any number.
  case repetition(SchemaPatternNode, least: Int, most: Int?)
}

/// Writes a pattern out as a program.
private struct SchemaPatternCompiler {
  private let limit: Int
  private var program: [SchemaPattern.Instruction] = []

  static func program(for node: SchemaPatternNode, limit: Int) -> [SchemaPattern.Instruction]? {
    var compiler = SchemaPatternCompiler(limit: limit)
    compiler.emit(node)
    compiler.program.append(.match)
    return compiler.program.count <= limit ? compiler.program : nil
  }

  private init(limit: Int) { self.limit = limit }

  private mutating func emit(_ node: SchemaPatternNode) {
    // Beyond the limit the program is thrown away: nested repetitions must not be written out first.
    guard program.count <= limit else { return }
    switch node {
    case .scalar(let scalars): program.append(.scalar(scalars))
    case .textStart: program.append(.textStart)
    case .textEnd: program.append(.textEnd)
    case .sequence(let nodes): for node in nodes { emit(node) }
    case .choice(let nodes): emit(choice: nodes[...])
    case .repetition(let node, let least, let most):
      for _ in 0..<least {
        let start = program.count
        emit(node)
        // What is nothing once is nothing a thousand times, and need not be asked for as often.
        if program.count == start { break }
      }
      if let most {
        for _ in least..<most { emit(optional: node) }
      } else {
        let start = program.count
        emit(optional: node, thenBackTo: start)
      }
    }
  }

  private mutating func emit(optional node: SchemaPatternNode, thenBackTo start: Int? = nil) {
    let fork = program.count
    program.append(.jump(fork))
    emit(node)
    if let start { program.append(.jump(start)) }
    program[fork] = .fork(fork + 1, program.count)
  }

  private mutating func emit(choice nodes: ArraySlice<SchemaPatternNode>) {
    guard let first = nodes.first else { return }
    guard nodes.count > 1 else { return emit(first) }
    let fork = program.count
    program.append(.jump(fork))
    emit(first)
    let exit = program.count
    program.append(.jump(exit))
    program[fork] = .fork(fork + 1, program.count)
    emit(choice: nodes.dropFirst())
    program[exit] = .jump(program.count)
  }
}
