import Agent
import ArgumentParser
import Wire

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Check everything that can be wrong, and say what helps.",
    discussion:
      "Changes nothing. It takes up to five seconds, ten where a check of the network was running already, and ends with 0 whatever it finds: --json tells programs."
  )

  @OptionGroup var state: StateOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let diagnosis = try await diagnosis()
    if json.isOn { return Terminal.print(json: diagnosis.json) }
    print("meshd doctor")
    print(DoctorText.render(diagnosis))
  }

  private func diagnosis() async throws -> Diagnosis {
    let directory: StateDirectory
    do { directory = try state.selection.look() } catch .noStateDirectory(let path) {
      return Diagnosis(host: HostReport(path: path), status: .success(MeshCommands.status(without: path)), now: .now())
    }
    let commands = MeshCommands(directory)
    let host = HostReport(lookingAt: directory.path)
    let status: JSONValue
    do { status = try await commands.status() } catch let error as AgentError {
      return Diagnosis(host: host, status: .failure(error), now: .now())
    }
    let isRunning = status["running"]?.bool == true
    if isRunning, !json.isOn { Terminal.note("Checking the network…") }
    let netcheck = isRunning ? try? commands.netcheck(renewsKey: false) : nil
    return Diagnosis(host: host, status: .success(status), netcheck: netcheck, now: .now())
  }
}

/// `doctor` for people.
enum DoctorText {
  static func render(_ diagnosis: Diagnosis) -> String {
    var lines: [String] = []
    for finding in diagnosis.findings {
      lines.append("[\(finding.level.rawValue)] \(finding.title)")
      if let detail = finding.detail { lines.append("     \(detail)") }
      if let next = finding.next { lines.append("     Next: \(next)") }
    }
    switch diagnosis.verdict {
    case .ready: lines.append("Result: ready.")
    case .warnings: lines.append("Result: usable, with warnings.")
    case .issues: lines.append("Result: issues found. What stands behind 'Next:' helps, from the first on.")
    }
    return lines.joined(separator: "\n")
  }
}
