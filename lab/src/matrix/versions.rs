//! The versions of what a matrix measures: those this program was built with, those a Go program tells of itself, and what
//! somebody's own program answers to `--version`.

use std::process::Stdio;
use std::time::Duration;

use crate::child::beside_this_binary;
use crate::client::{Client, Program};
use crate::record::Versions;
use crate::workload::ClientKind;

/// How long a program may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(2);

/// Characters of a version that are kept.
const KEPT: usize = 80;

/// The versions of obit and of `clients`.
pub(crate) async fn versions(clients: &[Client]) -> Versions {
    let mut versions = Versions {
        obit: env!("CARGO_PKG_VERSION").to_owned(),
        clients: std::collections::BTreeMap::new(),
    };
    for client in clients {
        let version = match client.program() {
            Program::BuiltIn(ClientKind::Tonic | ClientKind::Proxied) => {
                Some(format!("tonic {}", env!("OBIT_LAB_TONIC")))
            }
            Program::BuiltIn(_) => Some(format!("obit {}", versions.obit)),
            Program::Sidecar(setup) => match setup.proxy().program() {
                Ok(Some(program)) => told(&program.display().to_string()).await,
                _ => None,
            },
            Program::Peer(peer) => {
                let file = beside_this_binary(peer.program)
                    .ok()
                    .and_then(|path| std::fs::read(path).ok());
                file.and_then(|bytes| of_go(&bytes, client.name()))
            }
            Program::Command { line, .. } => told(line).await,
        };
        versions.clients.insert(client.name().to_owned(), version);
    }
    versions
}

/// The first line that a command answers to `--version`.
async fn told(line: &str) -> Option<String> {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &format!("exec {line} --version")]);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = shell.kill_on_drop(true).spawn().ok()?;
    let mut output = tokio::io::AsyncReadExt::take(child.stdout.take()?, 4_096);
    let mut text = Vec::new();
    let answered = async {
        tokio::io::AsyncReadExt::read_to_end(&mut output, &mut text).await?;
        // What prints without end is no answer: it is not waited for.
        drop(output);
        child.wait().await
    };
    let status = tokio::time::timeout(PATIENCE, answered).await.ok()?.ok()?;
    let text = String::from_utf8(text).ok().filter(|_| status.success())?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.chars().take(KEPT).collect())
}

/// What a program built by Go tells of itself: Go's version, and that of grpc-go where `client` is grpc-go.
fn of_go(program: &[u8], client: &str) -> Option<String> {
    let (go, modules) = build_info(program)?;
    let modules = String::from_utf8_lossy(modules);
    let grpc = modules.lines().find_map(|line| {
        let version = line.strip_prefix("dep\tgoogle.golang.org/grpc\t")?;
        version.split('\t').next()
    });
    match grpc.filter(|_| client.starts_with("grpc-go")) {
        Some(grpc) => Some(format!("grpc-go {grpc}, {go}")),
        None => Some(go),
    }
}

/// Go's version and the list of modules, as Go 1.18 and later write them: a mark, 32 bytes in all with flags, then two texts,
/// each after its length.
fn build_info(program: &[u8]) -> Option<(String, &[u8])> {
    const MARK: &[u8] = b"\xff Go buildinf:";
    const HEAD: usize = 32;
    const INLINE: u8 = 2;
    let at = program.windows(HEAD).position(|head| {
        head.starts_with(MARK) && head.get(MARK.len() + 1).is_some_and(|flags| flags & !1 == INLINE)
    })?;
    let (version, rest) = text(program.get(at + HEAD..)?)?;
    let (modules, _) = text(rest)?;
    Some((String::from_utf8(version.to_vec()).ok()?, modules))
}

/// A text after its length, seven bits a byte, the lowest first; and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (position, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return bytes.get(position + 1..)?.split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(version: &str, modules: &str) -> Vec<u8> {
        let mut bytes = b"\x7fELF\xff Go buildinf: not this one\0".to_vec();
        bytes.extend(b"\xff Go buildinf:\x08\x02");
        bytes.resize(bytes.len() + 16, 0);
        bytes.push(u8::try_from(version.len()).unwrap());
        bytes.extend(version.bytes());
        let length = modules.len();
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        bytes.push(u8::try_from(length >> 7).unwrap());
        bytes.extend(modules.bytes());
        bytes
    }

    #[test]
    fn a_go_program_tells_its_versions() {
        let modules = format!(
            "path\tx\ndep\tgoogle.golang.org/grpc\tv1.85.0\th1:x=\n{}",
            "build\t-x\n".repeat(20)
        );
        let program = program("go1.26.1", &modules);
        assert_eq!(
            of_go(&program, "grpc-go-best").as_deref(),
            Some("grpc-go v1.85.0, go1.26.1")
        );
        assert_eq!(of_go(&program, "article").as_deref(), Some("go1.26.1"));
    }

    #[test]
    fn a_program_cut_off_or_of_another_kind_tells_none() {
        let whole = program("go1.26.1", "path\tx\n");
        for length in 0..whole.len() {
            assert_eq!(of_go(&whole[..length], "article"), None, "{length}");
        }
        assert_eq!(of_go(b"#!/bin/sh\n", "article"), None);
    }

    #[tokio::test]
    async fn somebody_s_own_program_is_asked_and_need_not_answer() {
        assert_eq!(told("echo mine 3 \"\n\" more").await.as_deref(), Some("mine 3"));
        for silent in ["false", "sh -c yes", "/nowhere/mine", "sh -c 'sleep 60'"] {
            assert_eq!(told(silent).await, None, "{silent}");
        }
    }
}
