//! States, and states whose numbers can be told and made.

use gaussian_diffusion::laws;
use ndarray::{Array2, array};

use super::{
    VALID,
    faulty::{Fault, Fault::*, Faulty, Op},
    refused,
};

const TOLERANCE: f64 = 1e-9;

/// Two values and one of another shape: the last of the numbers are 0.5 and 2.
fn values(fault: Fault) -> [Faulty; 3] {
    let x = array![[0.25, -2.0, 1.5, -0.75], [-3.0, 0.8, 2.5, 0.5]];
    let y = array![[0.5, 1.0, -1.5, 3.0], [-0.25, 1.25, -0.5, 2.0]];
    let other = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    [x, y, other].map(|x| Faulty::new(&x, fault))
}

fn state(fault: Fault) -> Result<(), laws::Violation> {
    let [x, y, other] = values(fault);
    laws::state(&x, &y, &other, |v| v.x.iter().copied().collect(), TOLERANCE)
}

fn elements(fault: Fault) -> Result<(), laws::Violation> {
    let [x, y, other] = values(fault);
    laws::elements(&x, &y, &other, TOLERANCE)
}

/// A number that is off, by a little more and by a little less than the tolerance allows: that many times as much as
/// its own share of the value.
fn at_the_tolerance(
    check: fn(Fault) -> Result<(), laws::Violation>,
    op: Op,
    times: f64,
    law: &str,
) {
    for sign in [1.0, -1.0] {
        let off = |share: f64| check(Off(op, sign * share * times * TOLERANCE));
        off(0.99).unwrap_or_else(|broken| panic!("{op:?}: {broken}"));
        refused(off(1.01), law, "tolerance");
    }
}

#[test]
fn states() {
    state(Nothing).unwrap();
    let length = "another batch length is refused";
    let unchanged = "what is refused changes nothing";
    let item_by_item = "an own coefficient of 0 forgets, item by item";
    // Of sizes by hand, for the last numbers.
    for (op, times, law) in [
        (Op::Combine, 1.0, "combine is the linear combination"),
        (Op::Scale, 1.0, "combine is the linear combination"),
        (Op::Forget, 1.0, item_by_item),
        (
            Op::CombineItems,
            1.0,
            "combine_items is combine item by item",
        ),
        (
            Op::SweepItems,
            1.0,
            "a sweep takes coefficients item by item",
        ),
        // 0.25 and 4, where 4 (0.5 + 2) is allowed.
        (
            Op::SweepFirst,
            40.0,
            "a sweep is its assignments one after the other",
        ),
        (
            Op::SweepSecond,
            2.5,
            "a sweep is its assignments one after the other",
        ),
        // 0.75 + 1 - 1.25 + 1.
        (Op::Dot, 4.0 / 1.5, "dot_items is the sum of products"),
        (Op::Clamp, 2.0, "clamp keeps within bounds"),
        (Op::Exp, 1.5, "exp_affine is exp(offset + scale x)"),
    ] {
        at_the_tolerance(state, op, times, law);
    }
    for op in [
        Op::Combine,
        Op::CombineItems,
        Op::SweepItems,
        Op::SweepFirst,
        Op::Sweep,
        Op::Dot,
        Op::Clamp,
        Op::Exp,
    ] {
        refused(state(Refuses(op)), VALID, "broken");
    }
    for (fault, law, found) in [
        (
            Loses(Op::Combine),
            "nothing is lost",
            "combine is the linear combination: [",
        ),
        (
            Mixes(Op::CombineItems),
            "combine_items is combine item by item",
            "at 4",
        ),
        (
            Mixes(Op::SweepItems),
            "a sweep takes coefficients item by item",
            "at 4",
        ),
        (KeepsNan(Op::Forget), item_by_item, "NaN instead of"),
        (LosesNan(Op::Forget), item_by_item, "of a NaN at 4"),
        (
            Says(Op::Sweep, false),
            "finite numbers are finite",
            "in a sweep",
        ),
        (Says(Op::Sweep, true), "a sweep sees a NaN", "NaN"),
        (
            Watches,
            "a sweep that is not watched says yes",
            "told of a NaN",
        ),
        (
            Loses(Op::Dot),
            "dot_items has one sum for every item",
            "1 for 2 items",
        ),
        (Mixes(Op::Dot), "dot_items is the sum of products", "at 1"),
        (
            Says(Op::IsFinite, false),
            "finite numbers are finite",
            "[0.25, -2.0",
        ),
        (Says(Op::IsFinite, true), "a NaN is not finite", "[NaN"),
        (
            KeepsNan(Op::Combine),
            "an own coefficient of 0 forgets",
            "NaN instead of 0.5",
        ),
        (Refuses(Op::Fits), "another shape does not fit", "fits"),
        (Takes(Op::Fits), "another shape does not fit", "fits"),
        (
            Takes(Op::Combine),
            "another shape is refused",
            "combine took it",
        ),
        (
            Takes(Op::Dot),
            "another shape is refused",
            "dot_items took it",
        ),
        (
            Takes(Op::CombineItems),
            "another shape is refused",
            "combine_items took it",
        ),
        (
            Takes(Op::Sweep),
            "another shape is refused",
            "a sweep took it",
        ),
        (Takes(Op::OwnLength), length, "combine_items took it"),
        (Takes(Op::TermLength), length, "combine_items took it"),
        (Spoils(Op::Combine), unchanged, "at 7"),
        (Spoils(Op::CombineItems), unchanged, "at 7"),
        (Spoils(Op::OwnLength), unchanged, "at 7"),
        (Spoils(Op::TermLength), unchanged, "at 7"),
        (Spoils(Op::Sweep), unchanged, "at 7"),
    ] {
        refused(state(fault), law, found);
    }
}

#[test]
fn states_with_numbers() {
    elements(Nothing).unwrap();
    let item = 0.8 + 0.2 * 1.7;
    let share = 0.5 / item;
    // 1 and the value.
    let of = |value: f64| (1.0 + value) / value;
    for (op, times, law) in [
        (Op::Multiply, of(1.0), "multiply is element by element"),
        // A quarter of 2 and three of 0.5.
        (
            Op::Blend,
            of(0.875),
            "blend takes each where the other has no weight",
        ),
        (Op::Above, of(1.0), "above is a comparison"),
        // A fifth of the way from 0.8 to 2.5, of which the larger one counts.
        (
            Op::Quantiles,
            3.5 / item,
            "an item has a quantile of its sizes",
        ),
        (Op::Divide, of(share), "divide_within keeps within 1"),
        (Op::Spread, of(1.5), "spread repeats"),
    ] {
        at_the_tolerance(elements, op, times, law);
    }
    for op in [
        Op::Numbers,
        Op::OfNumbers,
        Op::Multiply,
        Op::Blend,
        Op::Above,
        Op::Quantiles,
        Op::Divide,
        Op::Concatenated,
        Op::ItemsAt,
        Op::Spread,
    ] {
        refused(elements(Refuses(op)), VALID, "broken");
    }
    let exact = "a weight of 1 or 0 leaves every bit";
    let made = "numbers make the tensor that they are of";
    let concatenated = "concatenated has the items of all, one after another";
    let items = "items_at has the items of its places";
    let other = "another shape is refused";
    let unchanged = "what is refused changes nothing";
    for (fault, law, found) in [
        (
            Loses(Op::Shape),
            "there is a number for every place of the shape",
            "8 in [2, 3]",
        ),
        (Refuses(Op::Fits), "a tensor has its own shape", "[2, 4]"),
        (Bit(Op::OfNumbers, 7), made, "[2, 4]"),
        (Turns(Op::OfNumbers), made, "[4, 2]"),
        (
            Loses(Op::Multiply),
            "nothing is lost",
            "multiply is element by element: [",
        ),
        (Bit(Op::Blend, 5), exact, "[0.25"),
        (Bit(Op::Blend, 6), exact, "[0.25"),
        (
            KeepsNan(Op::Blend),
            "blend takes each where the other has no weight",
            "NaN instead of",
        ),
        (AtBound, "above is a comparison", "1 instead of 0"),
        (
            Loses(Op::Quantiles),
            "an item has a quantile of its sizes",
            "[",
        ),
        (
            Mixes(Op::Quantiles),
            "an item has a quantile of its sizes",
            "at 1",
        ),
        (Unbounded, "divide_within keeps within 1", "instead of -1"),
        (Mixes(Op::Divide), "divide_within keeps within 1", "at 4"),
        (Bit(Op::Concatenated, 15), concatenated, "[6, 4]"),
        (Turns(Op::Concatenated), concatenated, "[4, 6]"),
        (Mixes(Op::Concatenated), concatenated, "[6, 4]"),
        (Bit(Op::ItemsAt, 7), items, "[2, 4]"),
        (Turns(Op::ItemsAt), items, "[4, 2]"),
        (Mixes(Op::Spread), "spread repeats", "at 4"),
        (
            Takes(Op::ItemsAt),
            "items that are not there are refused",
            "items_at",
        ),
        (Takes(Op::Concatenated), other, "concatenated took it"),
        (Takes(Op::Spread), other, "spread took it"),
        (Takes(Op::Multiply), other, "multiply, blend or"),
        (Takes(Op::BlendWeights), other, "multiply, blend or"),
        (Takes(Op::BlendBy), other, "multiply, blend or"),
        (Takes(Op::Divide), other, "multiply, blend or"),
        (Spoils(Op::Multiply), unchanged, "[0.25"),
        (Spoils(Op::BlendWeights), unchanged, "[0.25"),
        (Spoils(Op::BlendBy), unchanged, "[0.25"),
        (Spoils(Op::Divide), unchanged, "[0.25"),
    ] {
        refused(elements(fault), law, found);
    }
    // Four items of two, along the memory.
    let turned = values(Nothing).map(|v| Faulty::new(&v.x.reversed_axes(), Nothing));
    laws::elements(&turned[0], &turned[1], &turned[2], TOLERANCE).unwrap();
    // A batch of other items goes with these.
    let [x, y, _] = values(Nothing);
    let longer = Faulty::new(&Array2::ones((3, 4)), Nothing);
    laws::elements(&x, &y, &longer, TOLERANCE).unwrap();
}
