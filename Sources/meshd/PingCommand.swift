import Agent
import ArgumentParser
import Wire

struct PingCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping", abstract: "Ping a machine of the network, and show the way to it.",
    discussion: """
      The pings are those by which ways are found; they do not go through the tunnel, and no packet filter sees them. \
      Exits with 1 when none was answered, or none directly with --until-direct.
      """)

  @Argument(help: ArgumentHelp("Its name, its address in the mesh, or its DID.", valueName: "peer")) var peer: String

  @Option(name: .shortAndLong, help: "How many pings.") var count: Int = 10

  @Flag(name: .customLong("until-direct"), help: "Stop at the first answer that came directly.")
  var untilDirect = false

  @Option(help: ArgumentHelp("How long to wait for each answer.", valueName: "duration"))
  var timeout: Seconds = Seconds(5)

  @OptionGroup var state: StateOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard (1...100_000).contains(count) else { throw ValidationError("-c takes a number from 1 to 100000") }
    guard timeout.duration >= .milliseconds(1), timeout.duration <= .seconds(60) else {
      throw ValidationError("--timeout takes 1ms to 60s")
    }
  }

  func run() async throws {
    let directory = try state.selection.look()
    let commands = MeshCommands(directory)
    var answers: [JSONValue] = []
    var (answered, wasDirect) = (false, false)
    for index in 0..<count {
      let sentAt = Instant.now()
      let answer = try commands.ping(peer, within: timeout.duration)
      answered = answered || answer["answered"]?.bool == true
      wasDirect = wasDirect || answer["direct"]?.bool == true
      if json.isOn { answers.append(answer) } else { show(answer) }
      if untilDirect, wasDirect { break }
      if index + 1 < count { try await Task.sleep(for: max(.zero, .seconds(1) - (Instant.now() - sentAt))) }
    }
    if json.isOn { Terminal.print(json: .array(answers)) }
    guard answered, !untilDirect || wasDirect else { throw ExitCode.failure }
  }

  private func show(_ answer: JSONValue) {
    let name = "\(answer["name"]?.string ?? peer) (\(answer["meshIP"]?.string ?? "?"))"
    guard answer["answered"]?.bool == true else { return print("no answer from \(name) within \(timeout.text)") }
    let relay = answer["region"]?.string ?? answer["relay"]?.integer.map(String.init) ?? "?"
    let way = answer["endpoint"]?.string ?? "relay(\(relay))"
    print("pong from \(name) via \(way) in \(answer["latencyMs"]?.milliseconds ?? "?")")
  }
}
