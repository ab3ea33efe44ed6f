//! Pipes with the names of files of processes.

use crate::directory::{Directory, number};
use dynamo_metrics_multiprocess::{Opts, Page, Processes};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_pipe_holds_up_neither_a_page_nor_a_process_that_joins() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    let pipe = directory.0.join("process-0.metrics");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let (sender, receiver) = channel();
    let path = directory.0.clone();
    thread::spawn(move || {
        let processes = Processes::join(&path).unwrap();
        processes.counter(&Opts::new("n", "N.")).unwrap().inc();
        sender.send(Page::read(&path).unwrap()).unwrap();
    });
    let page = receiver.recv_timeout(LIMIT).expect("a page");
    assert_eq!((page.files, number(&page, "n")), (1, 1.0));
}
