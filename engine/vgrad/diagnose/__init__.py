"""What is wrong with the gradients of a run, said in words, with the numbers it rests on and a remedy."""
