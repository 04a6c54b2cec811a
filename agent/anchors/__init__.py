"""What tasks leave behind, merged into one penalty: the parts that most consolidators are made of."""
