//! A new agent, domains that are gone, and other models.

use super::*;

#[test]
fn a_new_agent_knows_what_the_last_one_did() {
    let mut w = World::settled();
    w.reserve(A, &[adapter(1, "eth1-2")]).unwrap();
    let published = serde_json::to_value(w.table.view()).unwrap();
    let mut new = World {
        table: Table::new(read(&published)),
        host: w.host,
        steps: Vec::new(),
    };
    new.model(&model());
    new.network(&json!({"Ports": [{"IfName": "eth0"}]}));
    assert_eq!(new.steps, [], "all is as it should be");
    assert_eq!(
        new.refused(B, &[adapter(1, "eth1-2")]),
        format!("IoAdapterList[0]: \"eth1-2\" is used by {A}")
    );
    // A bundle whose devices no longer have interfaces is still known by its name.
    let progress = new.reserve(A, &[adapter(1, "eth1-2")]).unwrap();
    assert_eq!(addresses(&progress), ["00:11.0", "00:12.0"]);
    new.network(&json!({"Ports": [{"IfName": "eth0"}, {"Name": "port3"}]}));
    let interfaces: Vec<_> = new
        .host
        .pci_devices()
        .into_iter()
        .map(|d| d.interfaces)
        .collect();
    assert_eq!(interfaces[3], ["eth3"], "the name it had before all that");
}

#[test]
fn what_is_no_longer_wanted_is_given_up_and_nothing_else() {
    let mut w = World::settled();
    w.reserve(A, &[adapter(1, "lan"), adapter(3, "COM1")])
        .unwrap();
    w.reserve(B, &[adapter(3, "COM2")]).unwrap();
    let wanted = [adapter(3, "COM1")];
    assert!(w.table.release_all_but(&wanted, A));
    assert!(!w.table.release_all_but(&wanted, A));
    w.reserve(B, &[adapter(1, "lan"), adapter(3, "COM2")])
        .unwrap();
    w.refused(B, &wanted);
}

#[test]
fn reservations_of_nobody_are_dropped() {
    let mut w = World::settled();
    w.reserve(A, &[adapter(1, "eth1-2")]).unwrap();
    w.reserve(B, &[adapter(1, "lan")]).unwrap();
    let published = serde_json::to_value(w.table.view()).unwrap();
    let mut new = Table::new(read(&published));
    // Before or after the model is known.
    new.keep_only(&|key| key == B);
    new.set_model(Ok(read(&model())));
    let used: Vec<String> = new
        .view()
        .io_bundle_list
        .into_iter()
        .map(|b| b.used_by_uuid)
        .collect();
    assert_eq!(used[1..3], [Uuid::nil().to_string(), B.to_string()]);
    new.keep_only(&|_| false);
    assert!(!new.release(B));
}

#[test]
fn what_the_model_drops_is_given_back_when_nobody_has_it() {
    let mut w = World::settled();
    w.reserve(A, &[adapter(1, "lan")]).unwrap();
    let mut less = model();
    less["IoBundleList"].as_array_mut().unwrap().drain(1..3);
    w.model(&less);
    assert_eq!(w.taken(), ["00:13.0"], "eth1 and eth2 are back");
    assert_eq!(w.bundle("lan").used_by_uuid, A.to_string());
    assert!(
        w.refused(A, &[adapter(1, "lan")])
            .contains("unknown adapter")
    );
    w.table.release(A);
    w.work();
    assert_eq!(w.taken(), Vec::<String>::new());
    assert_eq!(w.table.view().io_bundle_list.len(), 5);
}

#[test]
fn a_model_that_cannot_be_read_leaves_the_last_one_in_force() {
    let mut w = World::settled();
    w.table.set_model(Err("x".into()));
    w.table.set_network(Err("x".into()));
    w.work();
    w.reserve(A, &[adapter(1, "lan")]).unwrap();
}
