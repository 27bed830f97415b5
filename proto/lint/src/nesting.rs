//! Whether a statement can be given to squawk's parser, whose depth and time grow with the text's nesting.

/// Beyond these nobody wrote the statement by hand, and a rule has little to say of it.
const LONGEST: usize = 32 * 1024;
const DEEPEST: usize = 100;
const MOST_OPERATORS: usize = 500;

/// Why not, if not.
pub(crate) fn refusal(sql: &str) -> Option<String> {
    if sql.len() > LONGEST {
        return Some(format!("it is longer than {} KiB", LONGEST / 1024));
    }
    let measure = Measure::of(sql);
    if measure.depth > DEEPEST {
        return Some(format!("it is nested deeper than {DEEPEST} levels"));
    }
    (measure.operators > MOST_OPERATORS)
        .then(|| format!("it has an expression of over {MOST_OPERATORS} operators"))
}

/// What stands in literals and comments is counted as well, which does no harm.
#[derive(Default)]
struct Measure {
    /// Brackets and CASEs that are open at once.
    depth: usize,
    /// Operators, NOT among them, without a comma between.
    operators: usize,
}

impl Measure {
    fn of(sql: &str) -> Self {
        let mut most = Self::default();
        let (mut open, mut operators) = (0_usize, 0);
        let mut after_operator = false;
        let mut rest = sql.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            let word =
                rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80).count();
            let is_operator = b"+-*/<>=~!@#%^&|?:".contains(&byte);
            if word > 0 {
                let text = &rest[..word];
                operators += usize::from(text.eq_ignore_ascii_case(b"not"));
                open += usize::from(text.eq_ignore_ascii_case(b"case"));
                open = open.saturating_sub(usize::from(text.eq_ignore_ascii_case(b"end")));
            } else if matches!(byte, b'(' | b'[') {
                open += 1;
            } else if matches!(byte, b')' | b']') {
                open = open.saturating_sub(1);
            } else if byte == b',' {
                operators = 0;
            } else if is_operator && !after_operator {
                operators += 1;
            }
            after_operator = is_operator;
            rest = if word > 0 { &rest[word..] } else { behind };
            most.depth = most.depth.max(open);
            most.operators = most.operators.max(operators);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_process_or_take_for_ever_is_not_read() {
        for sql in [
            format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)),
            format!("SELECT {} 1", "CASE WHEN ".repeat(2000)),
        ] {
            assert_eq!(refusal(&sql).unwrap(), "it is nested deeper than 100 levels");
        }
        for sql in ["NOT ".repeat(5000), "- + ".repeat(5000), "a|".repeat(5000), "a::".repeat(5000)] {
            assert_eq!(refusal(&sql).unwrap(), "it has an expression of over 500 operators");
        }
        assert_eq!(refusal(&"x".repeat(LONGEST + 1)).unwrap(), "it is longer than 32 KiB");
    }

    #[test]
    fn what_people_write_is_read() {
        let values = vec!["(1, 'a', (now() - interval '1 day'))"; 500].join(", ");
        assert_eq!(refusal(&format!("INSERT INTO t VALUES {values}")), None);
        let rulers = "-----------------\n".repeat(100);
        assert_eq!(refusal(&format!("SELECT CASE WHEN NOT (a = -1) THEN 'x' END\n{rulers}")), None);
    }
}
