"""Operations: alerts, dead letters, portfolio import and the operations report."""
