"""What a person sees of a materialization: previews, small pictures, the input of reports."""
