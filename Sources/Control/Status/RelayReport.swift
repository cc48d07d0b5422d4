public import Mesh

extension DWNControlPlane {
  /// The relays in force by id, and the machines that may run them.
  public func relayRecords() -> (relays: [RelayRecord], nodes: [ControlStatus.Node]) {
    (view.map(NetmapTranslator.relays) ?? [], (view?.nodes ?? []).map(ControlStatus.Node.init))
  }
}
