use super::*;

fn linker(path: &str, llvm: Option<u32>) -> LinkerFound {
    LinkerFound {
        path: path.into(),
        llvm,
    }
}

/// Debian's toolchain complete but for the linker, as root.
fn debian() -> Facts {
    let mut apt_knows = DEBIAN_TOOLCHAIN.map(str::to_owned).to_vec();
    apt_knows.extend(llvm_packages(22));
    Facts {
        debian_llvm: Some(22),
        debian_has_src: true,
        llvm_dev: vec![22],
        apt_usable: true,
        apt_exists: true,
        apt_knows,
        ..Facts::default()
    }
}

#[test]
fn a_complete_nightly_comes_before_a_complete_debian() {
    let facts = Facts {
        rustup: true,
        nightly_llvm: Some(23),
        nightly_has_src: true,
        linkers: vec![linker("/a", Some(22)), linker("/b", Some(23))],
        ..debian()
    };
    let expected = Choice {
        toolchain: Toolchain::Nightly,
        llvm: 23,
        linker: "/b".into(),
    };
    assert_eq!(next(&facts, &[]), Next::Build(expected));
}

#[test]
fn a_complete_debian_comes_before_installing_anything() {
    let facts = Facts {
        rustup: true,
        nightly_llvm: Some(23),
        linkers: vec![linker("/a", Some(22))],
        ..debian()
    };
    let expected = Choice {
        toolchain: Toolchain::Debian,
        llvm: 22,
        linker: "/a".into(),
    };
    assert_eq!(next(&facts, &[]), Next::Build(expected));
}

#[test]
fn a_linker_with_another_llvm_is_never_used() {
    let facts = Facts {
        linkers: vec![linker("/a", Some(23))],
        ..debian()
    };
    assert_eq!(next(&facts, &[]), Next::Do(Step::InstallLinker(22)));
}

#[test]
fn a_linker_that_does_not_say_its_llvm_is_tried_when_no_other_says_so() {
    let facts = Facts {
        linkers: vec![linker("/static", None), linker("/a", Some(22))],
        ..debian()
    };
    assert!(matches!(next(&facts, &[]), Next::Build(Choice { linker, .. }) if linker == Path::new("/a")));
    let facts = Facts {
        linkers: vec![linker("/static", None)],
        ..debian()
    };
    assert!(matches!(next(&facts, &[]), Next::Build(Choice { linker, .. }) if linker == Path::new("/static")));
}

#[test]
fn a_rustup_that_cannot_download_falls_through_to_debian() {
    let facts = Facts {
        rustup: true,
        nightly_llvm: Some(23),
        debian_llvm: None,
        ..debian()
    };
    assert_eq!(next(&facts, &[]), Next::Do(Step::AddRustSrc));
    let packages = DEBIAN_TOOLCHAIN.map(str::to_owned).to_vec();
    assert_eq!(next(&facts, &[Step::AddRustSrc]), Next::Do(Step::AptInstall(packages)));
}

#[test]
fn package_lists_are_fetched_once_when_they_lack_the_packages() {
    let facts = Facts {
        debian_llvm: None,
        apt_knows: Vec::new(),
        ..debian()
    };
    assert_eq!(next(&facts, &[]), Next::Do(Step::AptUpdate));
    assert!(matches!(next(&facts, &[Step::AptUpdate]), Next::GiveUp(_)));
}

#[test]
fn the_llvm_of_the_compiler_is_installed_before_the_linker() {
    let facts = Facts {
        llvm_dev: vec![21],
        ..debian()
    };
    assert_eq!(
        next(&facts, &[]),
        Next::Do(Step::AptInstall(llvm_packages(22).to_vec()))
    );
}

#[test]
fn from_an_empty_machine_every_step_is_taken_once_and_in_order() {
    let mut facts = Facts {
        rustup: true,
        apt_usable: true,
        apt_exists: true,
        ..Facts::default()
    };
    let mut tried = Vec::new();
    let mut take = |facts: &Facts| match next(facts, &tried) {
        Next::Do(step) => {
            tried.push(step.clone());
            step
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(take(&facts), Step::InstallNightly);
    assert_eq!(take(&facts), Step::AptUpdate);
    facts.apt_knows = debian().apt_knows;
    assert!(matches!(take(&facts), Step::AptInstall(_)));
    facts.debian_llvm = Some(22);
    facts.debian_has_src = true;
    assert!(matches!(take(&facts), Step::AptInstall(_)));
    facts.llvm_dev = vec![22];
    assert_eq!(take(&facts), Step::InstallLinker(22));
    facts.linkers = vec![linker("/own", Some(22))];
    assert!(matches!(next(&facts, &tried), Next::Build(_)));
}

#[test]
fn without_any_way_both_are_named() {
    let Next::GiveUp(lacks) = next(&Facts::default(), &[]) else {
        panic!("there is no way")
    };
    let text: String = lacks.iter().map(ToString::to_string).collect();
    assert!(text.contains("rustup toolchain install nightly -c rust-src"));
    assert!(text.contains("apt-get install rustc-web cargo-web rust-web-src"));
}

#[test]
fn an_llvm_no_linker_is_made_for_leads_to_a_list_not_to_a_loop() {
    let facts = Facts {
        debian_llvm: Some(19),
        ..debian()
    };
    assert!(matches!(next(&facts, &[]), Next::GiveUp(_)));
}
