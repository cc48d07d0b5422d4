import Agent
import ArgumentParser
import Identity
import Wire

struct PeerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peer", abstract: "Add, approve, remove and list the machines of the network.",
    subcommands: [Add.self, Approve.self, Remove.self, List.self])

  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Admit a machine, deliver its keys, and print the line that it has to run.")

    @Argument(help: ArgumentHelp("What 'meshd init' printed there.", valueName: "did")) var did: DID
    @Option(help: "A name for it.") var label: String = "peer"
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func validate() throws {
      do { try MeshCommands.check(label: label) } catch { throw ValidationError(error.description) }
    }

    func run() async throws {
      let directory = try state.selection.open(creating: false)
      let result = try await Terminal.patiently { try await MeshCommands(directory).addPeer(did, label: label) }
      if json.isOn { return Terminal.print(json: result) }
      let isKnown = result["known"]?.bool == true
      let network = result["network"]?.string ?? ""
      print("Adding peer \(did)...")
      if !isKnown {
        print("  Node record created (IP=\(result["meshIP"]?.string ?? "?")).")
        print(
          result["delivered"]?.bool != true
            ? "  Its keys are delivered as soon as 'meshd up' has run there."
            : result["published"]?.bool == true ? "  Context key delivered." : "  Context key signed.")
      }
      PublicationText.tell(result, indent: "  ")
      for warning in result["warnings"]?.array ?? [] { Terminal.warning(warning.string ?? "") }
      print("")
      print(
        (isKnown
          ? "It is a peer of network \"\(network)\" already (IP=\(result["meshIP"]?.string ?? "?")); nothing was changed."
          : "Peer added to network \"\(network)\".") + " On that machine, run:")
      print("  \(result["command"]?.string ?? "")")
    }
  }

  struct Approve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Deliver the network's key again to a machine that lacks it.")

    @Argument(help: ArgumentHelp("The machine's DID.", valueName: "did")) var did: DID
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func run() async throws {
      let directory = try state.selection.open(creating: false)
      let result = try await Terminal.patiently { try await MeshCommands(directory).approvePeer(did) }
      if json.isOn { return Terminal.print(json: result) }
      switch (result["delivered"]?.bool, result["published"]?.bool) {
      case (true, true): print("Context key delivered to \(did).")
      case (_, true): print("Nothing to deliver: the current key is there for \(did).")
      default: print("The current key is signed for \(did).")
      }
      PublicationText.tell(result)
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Take a machine out of the network, and give the others new keys.")

    @Argument(help: ArgumentHelp("The machine's DID.", valueName: "did")) var did: DID
    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func run() async throws {
      let directory = try state.selection.open(creating: false)
      let result = try await Terminal.patiently { try await MeshCommands(directory).removePeer(did) }
      if json.isOn { return Terminal.print(json: result) }
      print("Peer removed from network \"\(result["network"]?.string ?? "")\".")
      PublicationText.tell(result)
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the machines of the network.")

    @OptionGroup var state: StateOptions
    @OptionGroup var json: JSONOption

    func run() async throws {
      let directory = try state.selection.look()
      let (name, all, peers) = try await MeshCommands(directory).peers()
      if json.isOn { return Terminal.print(json: .array(peers)) }
      guard !peers.isEmpty else { return print("No peers found.") }
      print("Peers in \"\(name)\":")
      print(PeerTable.render(all))
    }
  }
}
