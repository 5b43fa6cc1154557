//! Loops compiled for several instruction sets, chosen from when they run.

pub(crate) use pulp::Arch;
use pulp::{Simd, WithSimd};

/// Runs `f` compiled for the widest instruction set of this machine.
///
/// Mark the closure and what it calls `#[inline(always)]`: only what is inlined is compiled anew. No
/// instruction set changes a result, since no sum is reordered and no product joined with a sum.
#[inline]
pub(crate) fn vectorized(f: impl FnMut()) {
    on(Arch::new(), f);
}

/// The same for this instruction set.
#[inline]
pub(crate) fn on(arch: Arch, f: impl FnMut()) {
    arch.dispatch(Job(f));
}

/// A closure, called where it can be inlined.
struct Job<F>(F);

impl<F: FnMut()> WithSimd for Job<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        (self.0)();
    }
}

/// Every instruction set that this machine has.
#[cfg(test)]
pub(crate) fn all() -> Vec<Arch> {
    let mut all = vec![Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all.extend(pulp::x86::V4::try_new().map(Arch::V4));
    }
    all.push(Arch::new());
    all
}
