//! Loops compiled for several instruction sets, chosen from when they run.

pub(crate) use fearless_simd::Level as Arch;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use fearless_simd::Simd;

/// Runs `f` compiled for the widest instruction set of this machine.
///
/// Mark the closure and what it calls `#[inline(always)]`: only what is inlined is compiled anew. No
/// instruction set changes a result, since no sum is reordered and no product joined with a sum.
#[inline]
pub(crate) fn vectorized(f: impl FnMut()) {
    on(Arch::new(), f);
}

/// The same for this instruction set: AVX-512, AVX2, or what every processor of the target has.
#[inline]
pub(crate) fn on(arch: Arch, mut f: impl FnMut()) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = arch.as_avx512() {
        return simd.vectorize(f);
    } else if let Some(simd) = arch.as_avx2() {
        return simd.vectorize(f);
    }
    let _ = arch;
    f();
}

/// How many sums run beside each other.
const LANES: usize = 16;

/// The sum of a term for every element of slices that are equally long, in an order that no machine changes: sixteen
/// sums of every sixteenth term, then halves of them.
pub(crate) fn sum<T: Copy, const N: usize>(slices: [&[T]; N], term: impl Fn([T; N]) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    vectorized(
        #[inline(always)]
        || {
            let parts = slices.map(|slice| slice.as_chunks::<LANES>());
            for i in 0..parts.first().map_or(0, |(whole, _)| whole.len()) {
                let chunks = parts.map(|(whole, _)| &whole[i]);
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum += term(chunks.map(|chunk| chunk[k]));
                }
            }
            for k in 0..parts.first().map_or(0, |(_, rest)| rest.len()) {
                sums[k] += term(parts.map(|(_, rest)| rest[k]));
            }
        },
    );
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for k in 0..width {
            sums[k] += sums[k + width];
        }
    }
    sums[0]
}

/// Every instruction set that this machine has.
#[cfg(test)]
pub(crate) fn all() -> Vec<Arch> {
    let mut all = vec![Arch::baseline()];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    all.extend(Arch::new().as_avx2().map(Simd::level));
    all.push(Arch::new());
    all
}
