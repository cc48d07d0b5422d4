import Foundation
import Wire

/// One measured value, and the one of the same run that it is to be seen against.
struct Figure: Sendable {
  var name: String
  var value: Double
  var unit: String
  /// What this one is compared with: the name of another figure, or a program and the SHA-256 of its file. A figure that is compared with
  /// nothing names itself.
  var versus: String
  /// The value of that.
  var against: Double
  /// `value` ÷ the value of `versus`.
  var ratio: Double

  /// A figure that others are compared with.
  init(_ name: String, _ value: Double, _ unit: String) {
    self.name = name
    self.value = value
    self.unit = unit
    versus = name
    against = value
    ratio = 1
  }

  /// A figure seen against another.
  init(_ name: String, _ value: Double, versus other: Figure) {
    self.name = name
    self.value = value
    unit = other.unit
    versus = other.name
    against = other.value
    ratio = value / other.value
  }

  /// A figure seen against something that has no figure of its own.
  init(_ name: String, _ value: Double, _ unit: String, versus title: String, of against: Double) {
    self.name = name
    self.value = value
    self.unit = unit
    self.against = against
    versus = title
    ratio = value / against
  }

  /// For people: aligned columns, one line a figure.
  static func table(_ figures: [Figure]) -> String {
    var rows = [["what", "value", "unit", "ratio", "other", "versus"]]
    for figure in figures {
      let against =
        figure.versus == figure.name
        ? ["", "", ""] : [String(format: "%.2f", figure.ratio), grouped(figure.against), shortened(figure.versus)]
      rows.append([figure.name, grouped(figure.value), figure.unit] + against)
    }
    let widths = (0..<6).map { column in rows.map { $0[column].count }.max() ?? 0 }
    let numeric: Set = [1, 3, 4]
    return rows.map { row in
      let cells = row.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return numeric.contains(column) ? space + cell : cell + space
      }
      return cells.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
    }.joined(separator: "\n")
  }

  /// For machines: a JSON array with one object a figure. `JSONValue` has no use for fractions, so the numbers are written here.
  static func json(_ figures: [Figure]) -> String {
    let rows = figures.map { figure in
      let texts = [("name", figure.name), ("unit", figure.unit), ("versus", figure.versus)]
        .map { "\"\($0)\": \(JSONValue.string($1).text)" }
      let numbers = [("value", figure.value), ("against", figure.against), ("ratio", figure.ratio)].map {
        "\"\($0)\": \($1.isFinite ? String(format: "%.6g", $1) : "null")"
      }
      return "  {" + [texts[0], numbers[0], texts[1], texts[2], numbers[1], numbers[2]].joined(separator: ", ") + "}"
    }
    return "[\n" + rows.joined(separator: ",\n") + "\n]\n"
  }

  /// A digest by its beginning.
  private static func shortened(_ versus: String) -> String {
    versus.split(separator: " ").map { $0.utf8.count == 64 ? "\($0.prefix(8))…" : String($0) }.joined(separator: " ")
  }

  /// Three significant places are more than a shared machine is good for; thousands are set apart.
  private static func grouped(_ value: Double) -> String {
    guard value >= 1000 else { return String(format: "%.3g", value) }
    var digits = String(Int(value.rounded()))
    var result = ""
    while digits.count > 3 {
      result = " " + digits.suffix(3) + result
      digits.removeLast(3)
    }
    return digits + result
  }
}
