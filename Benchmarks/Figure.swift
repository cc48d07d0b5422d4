import Foundation
import Wire

/// One measured value, and the one of the same run that it is to be seen against.
struct Figure: Sendable {
  var name: String
  var value: Double
  var unit: String
  /// The name of the figure that this one is compared with. A figure that others are compared with names itself.
  var versus: String
  /// `value` ÷ the value of `versus`.
  var ratio: Double

  /// A figure that others are compared with.
  init(_ name: String, _ value: Double, _ unit: String) {
    self.name = name
    self.value = value
    self.unit = unit
    versus = name
    ratio = 1
  }

  /// A figure seen against another.
  init(_ name: String, _ value: Double, versus other: Figure) {
    self.name = name
    self.value = value
    unit = other.unit
    versus = other.name
    ratio = value / other.value
  }

  /// For people: aligned columns, one line a figure.
  static func table(_ figures: [Figure]) -> String {
    var rows = [["what", "value", "unit", "ratio", "versus"]]
    for figure in figures {
      let against = figure.versus == figure.name ? ["", ""] : [String(format: "%.2f", figure.ratio), figure.versus]
      rows.append([figure.name, grouped(figure.value), figure.unit] + against)
    }
    let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
    let numeric: Set = [1, 3]
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
      let numbers = [("value", figure.value), ("ratio", figure.ratio)].map {
        "\"\($0)\": \(String(format: "%.6g", $1))"
      }
      return "  {" + [texts[0], numbers[0], texts[1], texts[2], numbers[1]].joined(separator: ", ") + "}"
    }
    return "[\n" + rows.joined(separator: ",\n") + "\n]\n"
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
