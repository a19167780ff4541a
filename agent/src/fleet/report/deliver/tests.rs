use std::{cell::RefCell, fs};

use earmark_scan::Root;

use super::{
    super::spool::{AGE, BYTES},
    *,
};
use crate::testing::TestRoot;

/// A sink, and a host that reports to it every five minutes.
struct Bench {
    root: TestRoot,
    state: SinkStatus,
    uptime: u64,
    taken: RefCell<Vec<String>>,
}

const EVERY: u64 = 300;

fn line(number: u64) -> Vec<u8> {
    let report = serde_json::json!({
        "schema": 1, "time": number, "instance": null,
        "boot_id": "7e1c9c3e-1b7a-4a0e-9d57-0c4fba6f3a11", "booted": null, "agent": "0.1.0",
        "image": null, "manifest": null, "tier": "T0", "verdict": "undecided", "gate": null,
        "reason": null, "verified_at": null, "violations": 0, "undecided": 0, "policy": null,
        "first_boot": null, "cloned_from": null, "locks": {}, "taints": [], "taints_more": 0,
        "channel": null, "dropped": 0, "ec2": null
    });
    let report: Report = serde_json::from_value(report).unwrap();
    report.to_line().unwrap()
}

impl Bench {
    fn new() -> Self {
        let root = TestRoot::bare();
        fs::create_dir_all(root.open().path().join("var/lib/earmark/report")).unwrap();
        Self {
            root,
            state: SinkStatus::default(),
            uptime: 0,
            taken: RefCell::default(),
        }
    }

    fn spool(&self) -> io::Result<Spool> {
        let text =
            "[image]\nname = \"web\"\nplatform = \"file\"\n[report]\nto = [\"https://a.test\"]\n";
        let declared = earmark_manifest::declaration::Declaration::parse(text.as_bytes()).unwrap();
        let root: Root = self.root.open();
        Spool::open(&root, &declared.report.unwrap().to[0])
    }

    /// A report is made, and the sink says this. How often it was asked.
    fn turn(&mut self, number: u64, says: impl Fn() -> Result<(), Trouble>) -> usize {
        let asked = RefCell::new(0);
        let moment = Moment {
            uptime: self.uptime,
            time: Some(1_795_430_000 + self.uptime),
            is_forced: false,
        };
        let spool = self.spool().map_err(|error| error.to_string());
        let mut delivery = Delivery {
            state: &mut self.state,
            moment: &moment,
        };
        delivery.run(&spool, Some(&line(number)), &async |_, line| {
            *asked.borrow_mut() += 1;
            says()?;
            let report = Report::parse(line).unwrap();
            self.taken.borrow_mut().push(report.time.to_string());
            Ok(())
        });
        self.uptime += EVERY;
        asked.into_inner()
    }

    fn pending(&self) -> usize {
        self.spool().unwrap().pending().unwrap().len()
    }
}

fn down() -> Result<(), Trouble> {
    Err(Trouble::Passing("no connection".to_owned()))
}

#[test]
fn report_sink_receives_all_spooled_reports_in_order_after_outage() {
    let mut bench = Bench::new();
    let asked: Vec<usize> = (0..12).map(|number| bench.turn(number, down)).collect();
    assert_eq!(bench.pending(), 12);
    assert_eq!(bench.state.problem.as_deref(), Some("no connection"));
    // The first three at each turn; then less and less often.
    let total: usize = asked.iter().sum();
    assert!(
        asked[..3] == [1, 1, 1] && (5..10).contains(&total),
        "{asked:?}"
    );
    // It is up again, and asked in its turn, within the longest wait.
    let mut turns = 12;
    while bench.pending() > 0 {
        bench.turn(turns, || Ok(()));
        turns += 1;
        assert!(turns < 12 + 1 + LONGEST_WAIT / EVERY, "never asked");
    }
    let expected: Vec<String> = (0..turns).map(|number| number.to_string()).collect();
    assert_eq!(*bench.taken.borrow(), expected);
    assert_eq!((bench.state.sent, bench.state.dropped), (turns, 0));
    assert_eq!(
        (bench.state.in_a_row, bench.state.problem.clone()),
        (0, None)
    );
    assert!(bench.state.last.is_some());
}

#[test]
fn sink_retry_delay_is_honoured_up_to_the_longest_wait() {
    let mut bench = Bench::new();
    bench.turn(0, || Err(Trouble::Busy("429".to_owned(), 1_000)));
    assert!(
        (1_000..=1_030).contains(&bench.state.next),
        "{}",
        bench.state.next
    );
    assert_eq!(bench.turn(1, || Ok(())), 0);
    // Not for a day.
    bench.uptime = 2_000;
    bench.turn(2, || Err(Trouble::Busy("503".to_owned(), 86_400)));
    assert_eq!(bench.state.next, 2_000 + LONGEST_WAIT);
}

#[test]
fn rejected_report_is_dropped_and_does_not_block_others() {
    let mut bench = Bench::new();
    let first = RefCell::new(true);
    bench.turn(0, down);
    bench.turn(1, || {
        if first.replace(false) {
            return Err(Trouble::Unfit("413".to_owned()));
        }
        Ok(())
    });
    assert_eq!(*bench.taken.borrow(), ["1"]);
    assert_eq!(
        (bench.state.sent, bench.state.dropped, bench.pending()),
        (1, 1, 0)
    );
}

#[test]
fn report_spool_is_bounded_in_size_and_age_and_counts_drops() {
    /// Numbers of one length, and so reports of one size.
    const FIRST: u64 = 10_000;
    let mut bench = Bench::new();
    bench.turn(FIRST, down);
    let size = bench.state.spooled;
    let most = BYTES / size;
    bench.state.next = u64::MAX;
    for number in 1..most + 20 {
        bench.turn(FIRST + number, down);
    }
    assert_eq!(bench.state.dropped, 20);
    assert!(bench.state.spooled <= BYTES && bench.state.spooled > BYTES - size);
    // Those that are left are the newest.
    let spool = bench.spool().unwrap();
    let oldest = spool.pending().unwrap()[0];
    let oldest = spool.read(oldest).unwrap().unwrap();
    assert_eq!(Report::parse(&oldest).unwrap().time, FIRST + 20);
    // A day later all of them are old; a day before, none is.
    let before = SystemTime::now() - AGE;
    assert_eq!(spool.trim(before).unwrap(), 0);
    let left = u64::try_from(bench.pending()).unwrap();
    assert_eq!(spool.trim(SystemTime::now() + AGE * 2).unwrap(), left);
    assert_eq!(bench.pending(), 0);
}

#[test]
fn current_report_is_sent_even_if_the_spool_cannot_be_written() {
    let mut bench = Bench::new();
    fs::remove_dir_all(bench.root.open().path().join("var/lib/earmark/report")).unwrap();
    assert_eq!(bench.turn(0, || Ok(())), 1);
    assert_eq!(*bench.taken.borrow(), ["0"]);
    assert!(
        bench
            .state
            .problem
            .as_deref()
            .unwrap()
            .contains("the spool")
    );
    bench.turn(1, down);
    assert_eq!((bench.state.sent, bench.state.dropped), (1, 1));
}

#[test]
fn foreign_and_damaged_spool_files_are_not_sent() {
    let mut bench = Bench::new();
    bench.turn(0, down);
    let spool = bench.spool().unwrap();
    let directory = bench.root.open().path().join("var/lib/earmark/report");
    let directory = fs::read_dir(directory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    // A damaged one, one that is too large, and names that are none of ours.
    fs::write(directory.join(format!("{:020}.json", 7)), b"{\"schema\": 1").unwrap();
    fs::write(
        directory.join(format!("{:020}.json", 8)),
        vec![b' '; 1 << 20],
    )
    .unwrap();
    for name in ["x.json", "9.json", ".00000000000000000009.json.new"] {
        fs::write(directory.join(name), b"{}").unwrap();
    }
    // A directory could neither be read nor be taken out.
    fs::create_dir(directory.join(format!("{:020}.json", 6))).unwrap();
    assert_eq!(spool.pending().unwrap(), [1, 7, 8]);
    bench.state.next = 0;
    assert_eq!(bench.turn(1, || Ok(())), 2);
    assert_eq!(*bench.taken.borrow(), ["0", "1"]);
    assert_eq!((bench.state.dropped, bench.pending()), (2, 0));
}
