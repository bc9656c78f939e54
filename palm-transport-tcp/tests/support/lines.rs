//! What has to work over a serial line, wherever it leads.

use palm_transport_tcp::Client;

use super::relay::Cable;
use super::{Working, eventually, worker};

/// Has a job done while bytes are spoiled on the worker's line and on the client's.
pub(crate) fn work_while_spoiled(client: &Client, [near, far]: [&Cable; 2]) {
    assert_eq!(client.eval("echo", "x").unwrap(), "x");
    for round in 0..3 {
        near.spoil(1);
        far.spoil(1);
        let inputs: Vec<String> = (0..300).map(|number| format!("{round} {number}")).collect();
        let results: Result<Vec<_>, _> = client.submit_all("echo", inputs.clone()).collect();
        assert!(results.unwrap() == inputs);
        eventually("it is spoiled", || near.is_spoiled() && far.is_spoiled());
    }
}

/// Has one worker after the other work at the same line.
pub(crate) fn work_one_after_the_other(client: &Client, cable: &Cable) {
    for round in 0..3 {
        let _worker = Working::start(worker(&cable.address(1)));
        assert_eq!(client.eval("echo", round.to_string()).unwrap(), round.to_string());
    }
}
