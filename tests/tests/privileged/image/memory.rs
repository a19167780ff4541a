//! Memory that a hostile disk can take.

use std::fs;

use earmark_tests::{
    facts::{host::LISTING_FAILED, image::TOO_MANY_NAMES},
    peak::run_watched,
    program,
};

use super::{file_system, nothing_is_left, sealed, shell};

/// In KiB, of all that a verification takes.
const BOUND: u64 = 128 * 1024;

#[test]
fn privileged_directory_of_many_long_names_is_in_doubt_within_128_mib() {
    let bench = sealed();
    let image = bench.path("disk.img");
    let at = bench.path("at");
    fs::create_dir_all(&at).unwrap();
    // Of a size at which the blocks have 4 KiB, so that an index leads to as many names.
    for (names, siblings, doubt) in [
        (1000, 1000, None),
        // As many as fit alone, and not beside as many that wait.
        (150_000, 0, None),
        (300_000, 0, Some(TOO_MANY_NAMES)),
        (150_000, 90_000, Some(TOO_MANY_NAMES)),
    ] {
        fs::File::create(&image)
            .unwrap()
            .set_len(640 << 20)
            .unwrap();
        file_system("ext4", &bench.root(), &image);
        shell(&format!(
            "mount -o loop '{}' '{}'",
            image.display(),
            at.display()
        ));
        let opt = at.join("opt");
        fs::create_dir_all(opt.join("x")).unwrap();
        let mut first = opt.clone();
        for number in 0..names + siblings {
            let directory = if number < siblings {
                &opt
            } else {
                &opt.join("x")
            };
            // Those beside 'x' sort behind it, and wait while it is listed.
            let name = directory.join(format!("y{number:0249}"));
            // A file has at most 65,000 names.
            if number % 60_000 == 0 {
                fs::write(&name, b"").unwrap();
                first = name;
            } else {
                fs::hard_link(&first, name).unwrap();
            }
        }
        shell(&format!("umount '{}'", at.display()));
        // Whoever lists loop devices meanwhile, as another test does, keeps it a little longer.
        nothing_is_left(&image);
        let image_name = image.display().to_string();
        let words = ["verify", "--image", &image_name, "--trust", "trust.toml"];
        let directory = bench.path(".");
        let (run, peak) = run_watched(program("earmark"), words, &directory);
        nothing_is_left(&image);
        // The names are no part of what was sealed, either.
        assert_eq!(run.code, 10, "{}\n{}", run.out, run.err);
        match doubt {
            Some(doubt) => doubt.must_be_in(&run.out),
            None => assert!(run.out.contains("[added]"), "{}", run.out),
        }
        assert_eq!(LISTING_FAILED.is_in(&run.out), doubt.is_some());
        assert!(peak < BOUND, "{peak} KiB");
    }
}
